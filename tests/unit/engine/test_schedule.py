"""When which session is looked at again: after a rest, a pause, a place that became free, or a note of the sweep."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.cluster.clock import ServerClock
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.memory import Memory
from tasksession.engine.queue import WorkQueue
from tasksession.engine.schedule import Schedule
from tasksession.lifecycle.case import Attempt, Cases
from tasksession.lifecycle.decision import NOTHING, Decision
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.observed import Progress
from tasksession.lifecycle.requests import Overtaken, Paused, Rested
from tasksession.lifecycle.status import waiting
from tests.unit import make


class Scene:
    """A schedule with all that it stands on, at a server whose clock shows make.NOW."""

    def __init__(self) -> None:
        self.queue = WorkQueue()
        self.deadlines = Deadlines(lambda key: None)
        self.memory = Memory()
        self.cases = Cases()
        began = time.monotonic()
        clock = ServerClock(monotonic=lambda: began)
        clock.observe(make.NOW.strftime("%a, %d %b %Y %H:%M:%S GMT"), sent=began, received=began)
        self.schedule = Schedule(self.queue, self.deadlines, self.memory, self.cases, clock)

    def see(self, session: TaskSession) -> TaskSession:
        """Have a session known."""
        self.memory.see_session(session)
        return session

    async def next(self) -> Key:
        """The key whose turn it is."""
        return (await asyncio.wait_for(self.queue.take(), 5))[0]


def waits(name: str, reason: Reason, minute: int) -> TaskSession:
    """A session that waits, created in a minute of the hour."""
    session = make.session(name=name, uid=name)
    status = waiting(session, state=State.PENDING, reason=reason, message="It waits.", deadline=None, now=make.NOW)
    created = datetime(2026, 3, 1, 11, minute, tzinfo=UTC)
    return make.with_metadata(make.with_status(session, status), creation_timestamp=created)


async def test_a_session_at_rest_is_looked_at_when_its_decision_said() -> None:
    """Its deadline is armed, and disarmed where there is none any more."""
    scene = Scene()
    session = scene.see(make.active())
    scene.schedule.settled(Rested(session, Decision(look_again=make.NOW + timedelta(seconds=60))))
    assert scene.deadlines.is_armed(key_of(session))
    scene.schedule.settled(Rested(session, NOTHING))
    assert not scene.deadlines.is_armed(key_of(session))
    assert len(scene.queue) == 0


async def test_a_session_that_gave_way_comes_back() -> None:
    """After its pause it is in the queue again."""
    scene = Scene()
    session = scene.see(make.active())
    scene.schedule.settled(Paused(session, 0.01))
    assert await scene.next() == key_of(session)


async def test_a_session_that_was_replaced_is_looked_at_at_once() -> None:
    """A newer view of the same session needs no other look; another session of the name does."""
    scene = Scene()
    session = scene.see(make.active())
    scene.schedule.settled(Overtaken(session))
    assert len(scene.queue) == 0
    scene.memory.lose_session(session)
    scene.schedule.settled(Overtaken(session))
    assert await scene.next() == key_of(session)


async def test_a_free_place_wakes_the_oldest_that_wait_for_one() -> None:
    """Some more than there are places, the oldest first; those that wait for something else sleep on."""
    scene = Scene()
    for minute in range(12):
        scene.see(waits(f"limited-{minute}", Reason.LIMIT_REACHED, 50 - minute))
    other = scene.see(waits("other", Reason.POLICY_NOT_FOUND, 0))
    case = scene.cases.open("limited-11")
    case.rested("facts", make.NOW, seconds=30.0)
    for _ in range(3):
        scene.schedule.place_is_free(other.spec.policy)
    woken = [(await scene.next()).name for _ in range(10)]
    assert len(scene.queue) == 0
    assert woken == [f"limited-{minute}" for minute in range(11, 1, -1)]
    assert case.pause_left("facts", make.NOW) == 0.0


async def test_a_recheck_without_an_answer_is_asked_for_again_later() -> None:
    """Asking is counted, so that a review under way when it was asked again does not answer it."""
    scene = Scene()
    session = scene.see(make.active())
    scene.schedule.recheck(session)
    scene.schedule.recheck(session)
    case = scene.cases.find(session.metadata.uid)
    assert case is not None
    assert case.asked == 2
    assert await scene.next() == key_of(session)
    scene.schedule.settled(Rested(session, NOTHING))
    assert scene.queue.busy


@pytest.mark.parametrize("state", ["active", "held", "waiting", "gone"])
async def test_what_the_sweep_misses_ends_a_live_session_only(state: str) -> None:
    """One whose rights are being taken anyway, or that has none, is left alone."""
    scene = Scene()
    session = make.session() if state == "waiting" else make.active()
    if state != "gone":
        scene.see(session)
    if state == "held":
        scene.cases.open(session.metadata.uid).held = Attempt(session, Progress())
    scene.schedule.report_missing(session, "The ServiceAccount was deleted by somebody.")
    case = scene.cases.find(session.metadata.uid)
    assert (case is not None and case.identity_missing is not None) == (state == "active")
    assert len(scene.queue) == (1 if state == "active" else 0)


async def test_a_sweep_queues_what_is_not_over() -> None:
    """And what is to be removed; every live session's deadline is armed before any worker comes to it."""
    scene = Scene()
    over = make.with_status(make.session(name="over", uid="over"), make.ended().status)
    for session in (make.active(), make.session(name="waits", uid="waits"), over):
        scene.schedule.swept(scene.see(session))
    assert {(await scene.next()).name for _ in range(2)} == {"triage", "waits"}
    assert len(scene.queue) == 0
    assert scene.deadlines.is_armed(key_of(make.active()))
    assert not scene.deadlines.is_armed(key_of(over))


async def test_a_name_that_no_session_bears_has_no_moment_to_come() -> None:
    """Its deadline is disarmed once all of it is brought to rest."""
    scene = Scene()
    session = scene.see(make.active())
    scene.schedule.arm_deadline(session)
    scene.schedule.looked_at(key_of(session))
    assert scene.deadlines.is_armed(key_of(session))
    scene.memory.lose_session(session)
    scene.schedule.looked_at(key_of(session))
    assert not scene.deadlines.is_armed(key_of(session))
