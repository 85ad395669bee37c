"""The deadline heap: every moment is kept, the next one first, whatever was armed before."""

import asyncio
import time

from tasksession.engine.deadlines import Deadlines
from tasksession.lifecycle.key import Key


class Due:
    """Collects what was called, and lets a test wait for it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, key: Key) -> None:
        """Note a key."""
        self.names.append(key.name)
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        """Wait until so many were called."""
        async with asyncio.timeout(5):
            while len(self.names) < count:
                self._changed.clear()
                await self._changed.wait()


async def test_moments_are_called_in_order_of_time() -> None:
    """The order of arming does not matter; one in the past is called at once."""
    due = Due()
    deadlines = Deadlines(due)
    now = time.monotonic()
    for name, seconds in (("third", 0.15), ("second", 0.05), ("past", -5.0)):
        deadlines.arm(Key("namespace", name), now + seconds)
    task = asyncio.create_task(deadlines.run())
    await due.wait_for(3)
    task.cancel()
    assert due.names == ["past", "second", "third"]


async def test_an_earlier_moment_armed_while_running_is_not_late() -> None:
    """A short session is not kept waiting behind the sleep for a long one."""
    due = Due()
    deadlines = Deadlines(due)
    deadlines.arm(Key("namespace", "long"), time.monotonic() + 60)
    task = asyncio.create_task(deadlines.run())
    await asyncio.sleep(0)
    started = time.monotonic()
    deadlines.arm(Key("namespace", "short"), started + 0.02)
    await due.wait_for(1)
    task.cancel()
    assert due.names == ["short"]
    assert time.monotonic() - started < 2


async def test_a_moved_or_disarmed_moment_is_not_called() -> None:
    """Only the last moment of a key counts, and none after it was disarmed."""
    due = Due()
    deadlines = Deadlines(due)
    now = time.monotonic()
    deadlines.arm(Key("namespace", "moved"), now + 0.01)
    deadlines.arm(Key("namespace", "moved"), now + 60)
    deadlines.arm(Key("namespace", "gone"), now + 0.01)
    deadlines.disarm(Key("namespace", "gone"))
    deadlines.arm(Key("namespace", "last"), now + 0.05)
    task = asyncio.create_task(deadlines.run())
    await due.wait_for(1)
    task.cancel()
    assert due.names == ["last"]
    assert len(deadlines) == 1


def test_the_same_moment_armed_again_and_again_takes_no_room() -> None:
    """The server's time is known ever better: a moment that shifts by a hair, or moves, leaves nothing behind."""
    deadlines = Deadlines(Due())
    later = time.monotonic() + 3600
    for shift in range(5000):
        deadlines.arm(Key("namespace", "a"), later + shift * 1e-6)
        deadlines.arm(Key("namespace", "b"), later + shift)
    assert len(deadlines) == 2
    assert deadlines.entries <= 80
    assert deadlines.is_armed(Key("namespace", "a"))
