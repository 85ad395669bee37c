"""When to look at a session again: one heap and one task for all of them, however many there are.

The reconciler arms a moment in server time; when it comes, the key goes into the queue. A lost heap is rebuilt
from the sessions themselves.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from tasksession.lifecycle.key import Key

#: Moments closer than this, in seconds, are the same.
_SAME_MOMENT = 0.005
_SLACK = 64


class Deadlines:
    """A heap of moments, in seconds of the monotonic clock, each with the key that is due then."""

    def __init__(self, due: Callable[[Key], None]) -> None:
        self._due = due
        self._heap: list[tuple[float, int, Key]] = []
        self._armed: dict[Key, float] = {}
        self._sequence = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys are armed."""
        return len(self._armed)

    @property
    def entries(self) -> int:
        """How many entries the heap holds, moved and disarmed ones too."""
        return len(self._heap)

    def arm(self, key: Key, moment: float) -> None:
        """Have the key called at `moment`, in place of any moment it had."""
        armed = self._armed.get(key)
        # The server's time is known ever better, so that the same moment comes out a little different each time.
        if armed is not None and abs(armed - moment) < _SAME_MOMENT:
            return
        self._armed[key] = moment
        if len(self._heap) > 2 * len(self._armed) + _SLACK:
            self._compact()
        heapq.heappush(self._heap, (moment, next(self._sequence), key))
        if self._heap[0][0] >= moment:
            self._changed.set()

    def _compact(self) -> None:
        """Drop the entries of moments that were moved or disarmed."""
        self._heap = [entry for entry in self._heap if self._armed.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)

    def is_armed(self, key: Key) -> bool:
        """Whether a key has a moment to come."""
        return key in self._armed

    def disarm(self, key: Key) -> None:
        """Forget a key."""
        self._armed.pop(key, None)

    async def run(self) -> None:
        """Call what is due, for ever."""
        while True:
            delay = self._fire()
            self._changed.clear()
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _fire(self) -> float | None:
        """Call all that is due; returns the seconds until the next, None for never."""
        while self._heap:
            moment, _, key = self._heap[0]
            if self._armed.get(key) != moment:
                heapq.heappop(self._heap)
                continue
            left = moment - time.monotonic()
            if left > 0:
                return left
            heapq.heappop(self._heap)
            del self._armed[key]
            self._due(key)
        return None
