"""One at a time, and among those who wait, each group in its turn: a lock that no group can keep from the others.

The condition evaluator has one child process to ask, and takes a turn by namespace for each session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Hands turns out; a group that has many waiting gets one, and then every other group that waits gets one."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def take(self, group: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        if self._taken:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(group, deque()).append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    # The turn had come, and nobody will take it now.
                    self._pass_on()
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give the turn to the next who still waits: the group that had its last turn longest ago goes first."""
        while self._waiting:
            group = next(iter(self._waiting))
            waiters = self._waiting.pop(group)
            waiter = waiters.popleft()
            if waiters:
                self._waiting[group] = waiters
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken = False
