"""One queue of sessions to look at: each at most once in it, one worker at a time on each, urgent ones first.

Watch events, deadlines, the sweep and back-off add keys; workers take them. Ending goes before granting, and among
endings the oldest deadline goes first. Nothing true lives here: a lost queue is rebuilt by listing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Callable

from tasksession.lifecycle.key import Key

_logger = logging.getLogger(__name__)

#: Order among urgent keys: smaller first. Normal keys come after all of them, in order of arrival.
NORMAL = float("inf")
#: How many workers go on trying while the API server is away: enough to notice soon that it is back, and too few to
#: decide the order in which sessions end then.
_TRYING_WHILE_AWAY = 4
#: How many workers go on with all else while rights are being taken: the API server's attention is for those.
_BESIDE_ENDINGS = 4


#: What has failed so often in a row, while others were served, waits behind everybody else's work.
_STUBBORN = 6


class WorkQueue:
    """A deduplicating priority queue for asyncio workers, with back-off per key."""

    def __init__(
        self, *, base: float = 0.05, ceiling: float = 30.0, urgent_ceiling: float = 5.0, pause: float = 0.25
    ) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._queued: dict[Key, float] = {}
        self._working: dict[Key, float] = {}
        self._ending: set[Key] = set()
        self._since: dict[Key, float] = {}
        self._again: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._stubborn: set[Key] = set()
        self._delayed: dict[Key, tuple[asyncio.TimerHandle, float]] = {}
        self._sequence = itertools.count()
        self._closed = False
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._urgent_waiters: deque[asyncio.Future[None]] = deque()
        self._pause, self._pausing = pause, False
        self._base, self._ceiling, self._urgent_ceiling = base, ceiling, urgent_ceiling
        self.away: Callable[[], bool] = lambda: False
        """Whether the API server is away. `hurry` has to be called when it is back: most workers wait until then."""

    def __len__(self) -> int:
        """How many keys wait to be taken, delayed ones not counted."""
        return len(self._queued)

    def oldest(self) -> float:
        """For how many seconds a key has waited at the longest, 0 for an empty queue; delayed keys do not count."""
        return time.monotonic() - min(self._since.values()) if self._since else 0.0

    def longest(self) -> float:
        """For how many seconds a worker has been at the key that it is at longest, 0 where none works."""
        return time.monotonic() - min(self._working.values()) if self._working else 0.0

    @property
    def busy(self) -> bool:
        """Whether there is a key to look at, now or in a moment, or a worker is at one."""
        return not self._closed and bool(self._queued or self._working or self._delayed)

    @property
    def closed(self) -> bool:
        """Whether nothing more is given out."""
        return self._closed

    def add(self, key: Key, order: float = NORMAL) -> None:
        """Put a key in, or move it forward; while a worker has it, it comes back when the worker is done."""
        if key in self._stubborn:
            order = NORMAL
        if key in self._working:
            self._again[key] = min(order, self._again.get(key, NORMAL))
            return
        if key in self._queued and self._queued[key] <= order:
            return
        self._queued[key] = order
        self._since.setdefault(key, time.monotonic())
        heapq.heappush(self._heap, (order, next(self._sequence), key))
        self._wake_next()

    def add_later(self, key: Key, seconds: float, order: float = NORMAL) -> None:
        """Put a key in after a delay; a sooner delay replaces a later one."""
        loop = asyncio.get_running_loop()
        pending = self._delayed.get(key)
        if pending is not None:
            handle, pending_order = pending
            if handle.when() <= loop.time() + seconds:
                return
            handle.cancel()
            order = min(order, pending_order)
        self._delayed[key] = loop.call_later(max(0.0, seconds), self._arrive, key, order), order

    def hurry(self) -> None:
        """Put in all urgent keys that are delayed: what they failed for is over, and the oldest deadline goes first.

        What fails once more, since a server that comes back refuses some requests for a moment, is soon tried again.
        """
        self._failures.clear()
        stubborn, self._stubborn = self._stubborn, set()
        for key, (handle, order) in list(self._delayed.items()):
            if order < NORMAL or key in stubborn:
                handle.cancel()
                self._arrive(key, order)
        self._wake_next()

    def retry(self, key: Key, *, order: float = NORMAL, at_least: float = 0.0) -> float:
        """Put a key in after its back-off, doubled at each failure, and never before the server's Retry-After.

        Returns the delay in seconds. Urgent keys, which take rights away, wait `urgent_ceiling` at most, until they
        have failed so often, while others were served, that the fault is their own: then they come after all others.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if order < NORMAL and failures >= _STUBBORN and not self.away():
            if key not in self._stubborn:
                _logger.error(
                    "what ends a session fails again and again: somebody has to look",
                    extra={"session": key.name, "namespace": key.namespace, "failures": failures + 1},
                )
            self._stubborn.add(key)
        if key in self._stubborn:
            order = NORMAL
        ceiling = self._urgent_ceiling if order < NORMAL else self._ceiling
        # Spread, so that what failed together does not come back together.
        delay: float = min(ceiling, self._base * 2.0 ** min(failures, 20)) * random.uniform(0.5, 1.0)  # noqa: S311
        # A Retry-After is honoured up to a bound: what stands in front of an API server may ask for hours.
        delay = max(delay, min(at_least, self._ceiling))
        self.add_later(key, delay, order)
        if self.away() and not self._pausing:
            # Many sessions wait, and one request is enough to know that the API server is not back.
            self._pausing = True
            asyncio.get_running_loop().call_later(self._pause, self._go_on)
        return delay

    def _go_on(self) -> None:
        self._pausing = False
        self._wake_next()

    def succeed(self, key: Key) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)
        self._stubborn.discard(key)

    async def take(self, *, urgent_only: bool = False) -> tuple[Key, float]:
        """Wait for the next key and take it; `done` gives it back. `urgent_only`: wait for an urgent one."""
        while True:
            if self._closed:
                raise asyncio.CancelledError
            while self._heap:
                order, _, key = self._heap[0]
                # An entry that was moved forward, or taken already, is left behind in the heap.
                current = self._queued.get(key) == order and key not in self._working
                if current and ((urgent_only and order >= NORMAL) or self._holds_back(order)):
                    break
                heapq.heappop(self._heap)
                if current:
                    self._begin(key, order)
                    return key, order
            waiter = asyncio.get_running_loop().create_future()
            waiters = self._urgent_waiters if urgent_only else self._waiters
            waiters.append(waiter)
            await waiter

    def done(self, key: Key) -> None:
        """Give a key back; if it was added meanwhile, it is queued again."""
        self._working.pop(key, None)
        self._ending.discard(key)
        if key in self._again:
            self.add(key, self._again.pop(key))
        self._wake_next()

    def close(self) -> None:
        """Give out nothing more: workers that come for the next key, or wait for one, are cancelled."""
        self._closed = True
        for waiter in (*self._waiters, *self._urgent_waiters):
            waiter.cancel()

    def _begin(self, key: Key, order: float) -> None:
        del self._queued[key]
        self._since.pop(key, None)
        self._working[key] = time.monotonic()
        if order < NORMAL:
            self._ending.add(key)
        # What was added while workers were held back wakes nobody any more: each that goes on wakes the next.
        self._wake_next()

    def _holds_back(self, order: float) -> bool:
        """Whether enough workers are at work for now."""
        if order >= NORMAL and self._ending and len(self._working) - len(self._ending) >= _BESIDE_ENDINGS:
            return True
        return (self._pausing or len(self._working) >= _TRYING_WHILE_AWAY) and self.away()

    def _wake_next(self) -> None:
        if self._heap and not _wake(self._waiters) and self._heap[0][0] < NORMAL:
            _wake(self._urgent_waiters)

    def _arrive(self, key: Key, order: float) -> None:
        self._delayed.pop(key, None)
        self.add(key, order)


def _wake(waiters: deque[asyncio.Future[None]]) -> bool:
    """Wake one that waits; False where none does."""
    while waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return True
    return False
