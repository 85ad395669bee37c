"""The work queue: each session at most once, one worker at a time, what takes rights away first."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tasksession.engine.queue import NORMAL, WorkQueue
from tasksession.lifecycle.key import Key


def key(name: str) -> Key:
    """A session's key."""
    return Key("namespace", name)


async def taken(queue: WorkQueue) -> str:
    """Take the next key, or fail: nothing here should have to wait."""
    found, _ = await asyncio.wait_for(queue.take(), 1)
    return found.name


async def until(holds: Callable[[], bool]) -> None:
    """Let the workers work until something holds, five seconds at most."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.001)


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
    assert [await taken(queue) for _ in range(3)] == ["overdue", "late", "grant"]


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
    assert all(queue.retry(key("a"), order=1.0) <= 2.0 for _ in range(5))
    assert queue.retry(key("a"), order=1.0, at_least=7.0) == 7.0


async def test_what_always_fails_waits_behind_everybody_elses_work(caplog: pytest.LogCaptureFixture) -> None:
    """An end that is refused again and again, while others are served, is told of once, and goes behind theirs."""
    queue = WorkQueue(base=0.0001, ceiling=0.001)
    for _ in range(10):
        queue.retry(key("stubborn"), order=0.0)
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.session for record in told] == ["stubborn"]  # type: ignore[attr-defined]
    assert await taken(queue) == "stubborn"
    queue.done(key("stubborn"))
    queue.add(key("stubborn"), 0.0)
    queue.add(key("ending"), 5.0)
    assert [await taken(queue), await taken(queue)] == ["ending", "stubborn"]
    queue.succeed(key("stubborn"))
    queue.done(key("stubborn"))
    queue.add(key("waiting"))
    queue.add(key("stubborn"), 0.0)
    assert await taken(queue) == "stubborn"


async def test_nothing_is_called_stubborn_for_an_api_server_that_is_away() -> None:
    """What fails in an outage fails for everybody: endings stay urgent, and hurry when it is over."""
    queue = WorkQueue(base=10.0, ceiling=60.0, urgent_ceiling=30.0)
    queue.away = lambda: True
    for _ in range(10):
        queue.retry(key("ending"), order=1.0)
    queue.away = lambda: False
    for _ in range(10):
        queue.retry(key("stubborn"), order=2.0)
    queue.hurry()
    assert {await taken(queue), await taken(queue)} == {"ending", "stubborn"}


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


async def test_what_fails_right_after_an_outage_is_soon_tried_again() -> None:
    """An API server that comes back refuses some requests for a moment: the back-off of the outage is over."""
    queue = WorkQueue(base=0.05, urgent_ceiling=5.0)
    for _ in range(10):
        queue.retry(key("a"), order=1.0)
    assert queue.retry(key("a"), order=1.0) > 2
    queue.hurry()
    assert queue.retry(key("a"), order=1.0) <= 0.05


async def test_while_the_api_server_is_away_few_try_and_the_oldest_goes_first_when_it_is_back() -> None:
    """What workers try in vain does not decide what ends first afterwards: the deadlines do, even of what came last."""
    back = asyncio.Event()
    queue = WorkQueue()
    queue.away = lambda: not back.is_set()
    taken_by_workers: list[str] = []

    async def worker() -> None:
        while True:
            found, _ = await queue.take()
            taken_by_workers.append(found.name)
            await back.wait()
            queue.done(found)

    workers = [asyncio.create_task(worker()) for _ in range(12)]
    for number in range(40, 0, -1):
        queue.add(key(f"s-{number:02d}"), float(number))
        for _ in range(5):
            await asyncio.sleep(0)
    assert len(taken_by_workers) == 4
    back.set()
    queue.hurry()
    await until(lambda: len(taken_by_workers) == 40)
    queue.close()
    await asyncio.gather(*workers, return_exceptions=True)
    assert taken_by_workers[4:] == sorted(taken_by_workers[4:])


async def test_while_the_api_server_is_away_what_failed_is_tried_again() -> None:
    """Few try, but somebody always does: or nobody would learn that it is back."""
    queue = WorkQueue(base=0.001, urgent_ceiling=0.05, pause=0.0)
    queue.away = lambda: True
    tries: list[str] = []

    async def worker(*, urgent_only: bool) -> None:
        while True:
            found, order = await queue.take(urgent_only=urgent_only)
            tries.append(found.name)
            await asyncio.sleep(0)
            queue.retry(found, order=order)
            queue.done(found)

    workers = [asyncio.create_task(worker(urgent_only=number < 4)) for number in range(12)]
    for number in range(20):
        queue.add(key(f"urgent-{number}"), float(number))
        queue.add(key(f"normal-{number}"))
    await until(lambda: len(set(tries)) == 40 and len(tries) > 400)
    queue.close()
    await asyncio.gather(*workers, return_exceptions=True)


async def test_while_the_api_server_is_away_it_is_asked_now_and_then() -> None:
    """However many wait: one failure is enough to know, and each of them would be another line in the log."""
    queue = WorkQueue(base=0.001, urgent_ceiling=0.001, pause=0.2)
    queue.away = lambda: True
    tries: list[str] = []

    async def worker() -> None:
        while True:
            found, order = await queue.take()
            tries.append(found.name)
            queue.retry(found, order=order)
            queue.done(found)

    workers = [asyncio.create_task(worker()) for _ in range(12)]
    for number in range(20):
        queue.add(key(f"urgent-{number}"), float(number))
    began = time.monotonic()
    await until(lambda: len(tries) >= 4)
    assert time.monotonic() - began >= 0.55
    queue.away = lambda: False
    queue.hurry()
    await until(lambda: len(set(tries)) == 20)
    queue.close()
    await asyncio.gather(*workers, return_exceptions=True)


async def test_a_grant_is_tried_where_those_that_tried_take_endings_only() -> None:
    """While the API server is away, a key that waits is tried as soon as too many do not: by one who may take it."""
    queue = WorkQueue()
    queue.away = lambda: True
    for number in range(4):
        queue.add(key(f"urgent-{number}"), float(number))
    endings = [(await queue.take(urgent_only=True))[0] for _ in range(4)]
    waiting = asyncio.create_task(queue.take())
    queue.add(key("grant"))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    queue.done(endings[0])
    found, _ = await asyncio.wait_for(waiting, 1)
    assert found == key("grant")


async def test_all_work_again_when_the_api_server_is_back() -> None:
    """The return wakes all workers, even while those that tried still wait for their answers."""
    away = True
    queue = WorkQueue()
    queue.away = lambda: away
    for number in range(12):
        queue.add(key(f"s-{number}"), float(number))
    tries = [await queue.take() for _ in range(4)]
    waiting = [asyncio.create_task(queue.take(urgent_only=number < 4)) for number in range(8)]
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert not done
    away = False
    queue.hurry()
    found = [await asyncio.wait_for(task, 1) for task in waiting]
    assert len({key for key, _ in (*tries, *found)}) == 12


async def test_while_rights_are_taken_little_else_is_done() -> None:
    """Beside a session whose rights go, a few others are worked at; when they are gone, all workers go on."""
    queue = WorkQueue()
    queue.add(key("ending"), 1.0)
    ending, _ = await queue.take()
    for number in range(12):
        queue.add(key(f"grant-{number}"))
    waiting = [asyncio.create_task(queue.take()) for _ in range(12)]
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert len(done) == 4
    queue.add(key("another"), 2.0)
    await asyncio.sleep(0)
    assert sum(task.done() for task in waiting) == 5
    queue.done(ending)
    queue.done(key("another"))
    found = {(await asyncio.wait_for(task, 1))[0].name for task in waiting}
    assert found == {"another", *(f"grant-{number}" for number in range(11))}


async def test_a_queue_is_busy_until_nothing_is_left_to_look_at() -> None:
    """A key that waits, is worked at, or comes in a moment keeps it busy; a queue that was closed has nothing to do."""
    queue = WorkQueue()
    assert not queue.busy
    queue.add(key("a"))
    assert queue.busy
    found, _ = await queue.take()
    assert queue.busy
    queue.done(found)
    assert not queue.busy
    queue.add_later(key("a"), 0.02)
    assert queue.busy
    assert await taken(queue) == "a"
    queue.done(key("a"))
    assert not queue.busy
    queue.add(key("b"))
    queue.close()
    assert not queue.busy
