"""One request for all who ask the same at the same time, and never an answer from before somebody asked.

The questions asked for a session ask through it. While a question is under way, those who come to ask it wait, and
one new request, sent after all of them asked, answers them together. So a burst of sessions of one requester costs a
few look-ups, and a session that comes alone is answered as if nothing stood in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class SingleFlight:
    """The questions that are being asked. One that fails fails for all who share it, and is asked anew by the next."""

    def __init__(self) -> None:
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}
        self._following: dict[Hashable, asyncio.Task[Any]] = {}

    async def ask(self, key: Hashable, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask the question that `key` stands for, or share one that was not sent yet. Raises what it raises."""
        under_way = self._asking.get(key)
        if under_way is None:
            task = self._asking[key] = _started(self._ask(key, question))
        elif key in self._following:
            task = self._following[key]
        else:
            task = self._following[key] = _started(self._ask_after(under_way, key, question))
        # Whoever is cancelled must not take the answer from the others.
        answer: Answer = await asyncio.shield(task)
        return answer

    async def _ask(self, key: Hashable, question: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await question()
        finally:
            if self._asking.get(key) is asyncio.current_task():
                del self._asking[key]

    async def _ask_after(
        self, under_way: asyncio.Task[Any], key: Hashable, question: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        await asyncio.wait({under_way})
        # From here on the request may be on its way: who asks now needs another one.
        task = self._following.pop(key)
        self._asking[key] = task
        return await self._ask(key, question)


def _started(asking: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
    """Start a task whose failure is no news where nobody waits for it any more: at a stop, all may have left."""
    task = asyncio.create_task(asking)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
