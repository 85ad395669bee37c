"""Questions that many ask at once: few requests, and never an answer that is older than the asking."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tasksession.cluster.single_flight import SingleFlight


class Server:
    """Answers each request, when it is let, with what was true when the request was sent."""

    def __init__(self) -> None:
        self.truth = "yes"
        self.sent = 0
        self.failing = False
        self._gates: list[asyncio.Event] = []

    async def question(self) -> str:
        """Send one request."""
        self.sent += 1
        answer, failing, gate = self.truth, self.failing, asyncio.Event()
        self._gates.append(gate)
        await gate.wait()
        if failing:
            raise ConnectionError("no answer")
        return answer

    async def answer(self) -> None:
        """Let all requests that were sent come back."""
        await turns()
        gates, self._gates = self._gates, []
        for gate in gates:
            gate.set()
        await turns()


async def turns() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_who_asks_alone_is_answered_by_a_request_of_his_own() -> None:
    """Asked one after another, each question is one request, sent at once."""
    server, shared = Server(), SingleFlight()
    for number in (1, 2, 3):
        asking = asyncio.create_task(shared.ask("key", server.question))
        await turns()
        assert server.sent == number
        await server.answer()
        assert await asking == "yes"


async def test_those_who_come_while_it_is_asked_share_the_next_request() -> None:
    """A hundred who ask while a request is under way cost one more request together."""
    server, shared = Server(), SingleFlight()
    first = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    others = [asyncio.create_task(shared.ask("key", server.question)) for _ in range(100)]
    await turns()
    assert server.sent == 1
    await server.answer()
    assert await first == "yes"
    assert server.sent == 2
    await server.answer()
    assert await asyncio.gather(*others) == ["yes"] * 100
    assert server.sent == 2


async def test_no_answer_is_older_than_the_asking() -> None:
    """What changes before somebody asks is in his answer, also where a request was under way that did not see it."""
    server, shared = Server(), SingleFlight()
    early = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    server.truth = "no"
    late = asyncio.create_task(shared.ask("key", server.question))
    await server.answer()
    # The second request is under way now: whoever asks from here on must not share it.
    server.truth = "yes again"
    later = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    assert server.sent == 2
    await server.answer()
    await server.answer()
    assert (await early, await late, await later) == ("yes", "no", "yes again")


async def test_different_questions_are_not_mixed() -> None:
    """Questions with other keys have requests of their own, side by side."""
    server, shared = Server(), SingleFlight()
    asking = [asyncio.create_task(shared.ask(key, server.question)) for key in ("one", "two")]
    await turns()
    assert server.sent == 2
    await server.answer()
    assert await asyncio.gather(*asking) == ["yes", "yes"]


async def test_a_failure_is_told_to_all_who_share_it_and_to_nobody_else() -> None:
    """Those who wait for a request that fails are told; the next request is a fresh one."""
    server, shared = Server(), SingleFlight()
    server.failing = True
    first = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    server.failing = False
    second = asyncio.create_task(shared.ask("key", server.question))
    await server.answer()
    with pytest.raises(ConnectionError):
        await first
    await server.answer()
    assert await second == "yes"


async def test_one_who_is_cancelled_takes_nothing_from_the_others() -> None:
    """The request goes on for those who still wait."""
    server, shared = Server(), SingleFlight()
    impatient = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    patient = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    impatient.cancel()
    await server.answer()
    await server.answer()
    assert await patient == "yes"
    assert impatient.cancelled()


async def test_a_failure_that_nobody_waits_for_is_silent() -> None:
    """At a stop all may have left: asyncio must not complain of an error that nobody fetched."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    server, shared = Server(), SingleFlight()
    server.failing = True
    asking = asyncio.create_task(shared.ask("key", server.question))
    await turns()
    asking.cancel()
    await server.answer()
    del asking
    gc.collect()
    assert complaints == []
