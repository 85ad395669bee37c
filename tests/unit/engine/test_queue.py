"""The work queue: each session at most once, one worker at a time, what takes rights away first."""

import asyncio

import pytest

from tasksession.engine.queue import NORMAL, Key, WorkQueue


def key(name: str) -> Key:
    """A session's key."""
    return Key("namespace", name)


async def taken(queue: WorkQueue) -> str:
    """Take the next key, or fail: nothing here should have to wait."""
    found, _ = await asyncio.wait_for(queue.take(), 1)
    return found.name


async def test_a_key_added_twice_is_taken_once() -> None:
    """Ten events about one session make one look at it."""
    queue = WorkQueue()
    for _ in range(10):
        queue.add(key("a"))
    assert await taken(queue) == "a"
    assert len(queue) == 0


async def test_urgent_keys_come_first_and_the_oldest_deadline_among_them() -> None:
    """Sessions whose rights have to go are taken before all others, oldest deadline first."""
    queue = WorkQueue()
    queue.add(key("grant"))
    queue.add(key("late"), 200.0)
    queue.add(key("overdue"), 100.0)
    assert queue.has_urgent
    assert [await taken(queue) for _ in range(3)] == ["overdue", "late", "grant"]
    assert not queue.has_urgent


async def test_a_waiting_key_can_be_moved_forward_and_not_back() -> None:
    """A session that becomes urgent overtakes; hearing of it again as ordinary does not delay it."""
    queue = WorkQueue()
    queue.add(key("first"))
    queue.add(key("second"))
    queue.add(key("second"), 50.0)
    queue.add(key("second"))
    assert await taken(queue) == "second"


async def test_a_key_in_work_comes_back_only_when_it_is_done() -> None:
    """Two workers are never at one session, and no event that comes meanwhile is lost."""
    queue = WorkQueue()
    queue.add(key("a"))
    assert await taken(queue) == "a"
    queue.add(key("a"), 10.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.take(), 0.05)
    queue.done(key("a"))
    found, order = await asyncio.wait_for(queue.take(), 1)
    assert (found.name, order) == ("a", 10.0)


async def test_a_waiting_worker_is_woken_by_a_key() -> None:
    """A worker without work sleeps until there is some."""
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add(key("a"))
    assert (await asyncio.wait_for(waiting, 1))[0] == key("a")


async def test_back_off_grows_and_is_forgotten_after_success() -> None:
    """A session that keeps failing is tried less and less often, up to a ceiling; success starts anew."""
    queue = WorkQueue(base=1.0, ceiling=8.0)
    delays = [queue.retry(key("a")) for _ in range(8)]
    assert delays[0] <= 1.0
    assert all(delay <= 8.0 for delay in delays)
    assert max(delays) >= 4.0
    queue.succeed(key("a"))
    assert queue.retry(key("a")) <= 1.0


async def test_urgent_back_off_has_a_lower_ceiling_and_honours_retry_after() -> None:
    """Revoking never waits long, unless the API server itself asked for it."""
    queue = WorkQueue(base=1.0, ceiling=60.0, urgent_ceiling=2.0)
    assert all(queue.retry(key("a"), order=1.0) <= 2.0 for _ in range(10))
    assert queue.retry(key("a"), order=1.0, at_least=7.0) == 7.0


async def test_a_delayed_key_arrives_and_a_sooner_delay_wins() -> None:
    """A retry that is due earlier replaces a later one; the key arrives once."""
    queue = WorkQueue()
    queue.add_later(key("a"), 30.0)
    queue.add_later(key("a"), 0.01)
    queue.add_later(key("a"), 60.0)
    assert await taken(queue) == "a"
    assert len(queue) == 0


async def test_a_closed_queue_gives_out_nothing() -> None:
    """At the stop no worker takes up another session, and those that wait are let go."""
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    queue.add(key("a"), NORMAL)
    with pytest.raises(asyncio.CancelledError):
        await queue.take()


async def test_a_worker_for_urgent_keys_takes_no_other() -> None:
    """Workers that are kept for endings leave grants alone, and are woken by an ending."""
    queue = WorkQueue()
    queue.add(key("grant"))
    waiting = asyncio.create_task(queue.take(urgent_only=True))
    await asyncio.sleep(0)
    queue.add(key("end"), 5.0)
    found, order = await asyncio.wait_for(waiting, 1)
    assert (found.name, order) == ("end", 5.0)
    assert await taken(queue) == "grant"


async def test_an_hour_of_retry_after_is_not_waited_for() -> None:
    """What stands in front of an API server may ask for any time; the ceiling bounds it."""
    queue = WorkQueue(base=1.0, ceiling=30.0)
    assert queue.retry(key("a"), order=1.0, at_least=3600.0) == 30.0


async def test_the_queue_knows_how_long_was_waited_and_worked() -> None:
    """The oldest key that waits and the one worked at longest are what probes ask for; both end when they end."""
    queue = WorkQueue()
    assert (queue.oldest(), queue.longest()) == (0.0, 0.0)
    queue.add(key("a"))
    queue.add(key("a"), 5.0)
    assert queue.oldest() >= 0
    await taken(queue)
    assert queue.oldest() == 0.0
    assert queue.longest() >= 0
    queue.done(key("a"))
    assert queue.longest() == 0.0


async def test_what_is_urgent_can_be_hurried_and_the_rest_waits() -> None:
    """When an outage is over, delayed keys that take rights away come at once, the oldest deadline first."""
    queue = WorkQueue()
    queue.add_later(key("late"), 60, 200.0)
    queue.add_later(key("overdue"), 60, 100.0)
    queue.add_later(key("grant"), 60)
    queue.hurry()
    assert [await taken(queue) for _ in range(2)] == ["overdue", "late"]
    assert len(queue) == 0
    queue.hurry()
    assert len(queue) == 0
