"""Events on their way from one thread to a loop in another: none is lost, none overtakes another."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tasksession.cluster.handover import Handover

_EVENTS = 20_000


async def test_events_of_another_thread_all_arrive_in_order() -> None:
    """Put in while the loop takes out, every event arrives, once and in the order in which it was put in."""
    arrived: list[int] = []
    done = asyncio.Event()

    def callback(plural: str, kind: str | None, item: dict[str, Any]) -> None:
        assert (plural, kind) == ("jobs", "ADDED")
        arrived.append(item["number"])
        if len(arrived) == _EVENTS:
            done.set()

    handover = Handover(asyncio.get_running_loop(), callback)

    def put() -> None:
        for number in range(_EVENTS):
            handover.put("jobs", "ADDED", {"number": number})

    thread = threading.Thread(target=put)
    thread.start()
    await asyncio.wait_for(done.wait(), 30)
    await asyncio.to_thread(thread.join)
    assert arrived == list(range(_EVENTS))


async def test_an_event_that_fails_takes_no_other_with_it() -> None:
    """Where the receiver raises for one of several events, the loop is told, and the others arrive."""
    arrived: list[str] = []
    told: list[BaseException | None] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    done = asyncio.Event()

    def callback(plural: str, kind: str | None, item: dict[str, Any]) -> None:
        if item["name"] == "broken":
            raise ValueError("no such event")
        arrived.append(item["name"])
        if item["name"] == "last":
            done.set()

    handover = Handover(loop, callback)
    for name in ("first", "broken", "last"):
        handover.put("jobs", None, {"name": name})
    await asyncio.wait_for(done.wait(), 30)
    assert arrived == ["first", "last"]
    assert [type(error) for error in told] == [ValueError]
