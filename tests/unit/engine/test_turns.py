"""A lock that no group can keep from the others: one holds it, and each group that waits has its turn."""

from __future__ import annotations

import asyncio

import pytest

from tasksession.engine.turns import Turns


async def _hold(turns: Turns, group: str, order: list[str]) -> None:
    async with turns.take(group):
        order.append(group)
        await asyncio.sleep(0)


async def test_a_group_with_many_waiting_does_not_keep_out_the_others() -> None:
    """Twenty of one namespace came first; those of two others have their turn after one of them each."""
    turns, order = Turns(), list[str]()
    many = [asyncio.create_task(_hold(turns, "many", order)) for _ in range(20)]
    await asyncio.sleep(0)
    others = [asyncio.create_task(_hold(turns, name, order)) for name in ("one", "two", "one")]
    await asyncio.gather(*many, *others)
    first = order[: order.index("one") + 4]
    assert first[-4:] == ["one", "two", "many", "one"]
    assert first.count("many") <= 4
    assert order.count("many") == 20


async def test_one_holds_it_at_a_time() -> None:
    """Nobody comes in while another is in it, also when turns are passed on."""
    turns, inside = Turns(), 0

    async def work(group: str) -> None:
        nonlocal inside
        async with turns.take(group):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(str(number % 3)) for number in range(30)))


async def test_a_turn_is_passed_on_whatever_becomes_of_its_holder() -> None:
    """Neither an error nor a cancellation, while it waits or in the very moment of its turn, keeps the others out."""
    turns, order = Turns(), list[str]()
    with pytest.raises(ValueError, match="broken"):
        async with turns.take("a"):
            raise ValueError("broken")
    async with turns.take("a"):
        waiting = [asyncio.create_task(_hold(turns, name, order)) for name in ("b", "c", "d")]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    # The turn has been given to c, which has not run yet.
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["d"]
    async with turns.take("e"):
        pass
