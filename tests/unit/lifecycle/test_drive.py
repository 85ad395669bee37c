"""One drive, request by request: what it asks for, what it remembers, and how it ends."""

from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.case import Case
from tasksession.lifecycle.decision import NOTHING, Decision
from tasksession.lifecycle.drive import Drive, Plan, Unstorable
from tasksession.lifecycle.observed import STATUS, Observed, Refusal, RefusalKind
from tasksession.lifecycle.requests import Apply, Outcome, Paused, Rested, Settled
from tests.unit import make
from tests.unit.lifecycle.driving import Seen, Silence
from tests.unit.lifecycle.world import World

TOO_LARGE = Refusal(RefusalKind.INVALID, STATUS, "etcdserver: request is too large")


class Told(Silence):
    """Remembers which statuses were refused."""

    def __init__(self) -> None:
        self.refused: list[State] = []

    def refused_status(self, session: TaskSession, action: actions.WriteStatus, refusal: Refusal) -> None:
        """Remember the state that could not be stored."""
        self.refused.append(action.status.state)


class Scene:
    """A session, what is known of its world, and who is told."""

    def __init__(self, session: TaskSession) -> None:
        self.session = session
        self.known = Seen(World())
        self.known.see_session(session)
        self.known.see_job(make.job())
        self.case = Case()
        self.told = Told()

    def drive(self, plan: Plan) -> Generator[Any, Any, Settled]:
        """Begin a drive under a plan."""
        return Drive(self.session, self.case, self.known, self.told, removed=False, plan=plan).steps()


def writes(state: State) -> Callable[[TaskSession, Observed, datetime], Decision]:
    """A plan that writes a status until that is refused."""

    def plan(session: TaskSession, observed: Observed, now: datetime) -> Decision:
        if observed.refusal is not None:
            return NOTHING
        status = session.status.model_copy(update={"state": state})
        metadata = session.metadata
        write = actions.WriteStatus(
            metadata.namespace, metadata.name, metadata.uid, metadata.resource_version, status, None
        )
        return Decision(actions=(write,))

    return plan


def end_of(steps: Generator[Any, Any, Settled], answer: Any) -> Settled:
    """Answer the last request and return how the drive ends."""
    with pytest.raises(StopIteration) as end:
        steps.send(answer)
    settled: Settled = end.value.value
    return settled


def test_a_last_status_that_is_refused_is_told_once_and_raised_each_time() -> None:
    """The engine tries it again with its back-off; the record has one entry."""
    scene = Scene(make.active())
    for _ in range(2):
        steps = scene.drive(writes(State.EXPIRED))
        request = next(steps)
        assert isinstance(request, Apply)
        with pytest.raises(Unstorable, match="too large"):
            steps.send(Outcome(request.progress, refusal=TOO_LARGE))
    assert scene.told.refused == [State.EXPIRED]
    assert scene.case.recorded


def test_a_grant_that_cannot_be_stored_is_handed_to_the_plan() -> None:
    """It is taken back by the plan: nothing is over yet."""
    scene = Scene(make.session())
    steps = scene.drive(writes(State.ACTIVE))
    request = next(steps)
    assert isinstance(end_of(steps, Outcome(request.progress, refusal=TOO_LARGE)), Rested)
    assert scene.told.refused == [State.ACTIVE]
    assert not scene.case.recorded


def test_nothing_is_created_once_a_guard_is_gone() -> None:
    """Of several creations of one decision none comes after that, and the plan is asked again."""
    scene = Scene(make.session())
    manifest = {"metadata": {"name": "one"}}
    seen: list[tuple[str, ...]] = []

    def plan(session: TaskSession, observed: Observed, now: datetime) -> Decision:
        seen.append(observed.guards_missing)
        two = actions.CreateRoleBinding(manifest), actions.CreateRoleBinding(manifest)
        return NOTHING if observed.guards_missing else Decision(actions=two)

    world = World()
    scene.known = Seen(world)
    scene.known.see_session(scene.session)
    steps = scene.drive(plan)
    request = next(steps)
    world.guards_missing = ("token",)
    assert isinstance(end_of(steps, Outcome(request.progress)), Rested)
    assert seen == [(), ("token",)]


def test_an_attempt_that_met_no_answer_goes_on_where_it_was() -> None:
    """What is gone stays gone: the next drive does not take it once more."""
    scene = Scene(make.active())
    delete = actions.DeleteTimer(make.NAMESPACE, "ts-1", None)
    find = actions.FindChildren(make.NAMESPACE, make.SESSION_UID)

    def plan(session: TaskSession, observed: Observed, now: datetime) -> Decision:
        return Decision(actions=(find,) if observed.progress.timer_gone else (delete,))

    steps = scene.drive(plan)
    request = next(steps)
    assert request.action == delete
    assert steps.send(Outcome(replace(request.progress, timer_gone=True))).action == find
    with pytest.raises(TimeoutError):
        steps.throw(TimeoutError())
    assert next(scene.drive(plan)).action == find


def test_a_waiting_session_that_was_just_looked_at_is_left_alone() -> None:
    """Its labels may be written a hundred times a second: that costs no request; a change that matters does."""
    scene = Scene(make.session())

    def rests(session: TaskSession, observed: Observed, now: datetime) -> Decision:
        return NOTHING

    with pytest.raises(StopIteration):
        next(scene.drive(rests))
    with pytest.raises(StopIteration) as end:
        next(scene.drive(rests))
    assert isinstance(end.value.value, Paused)
    scene.session = make.with_metadata(scene.session, generation=2)
    with pytest.raises(StopIteration) as end:
        next(scene.drive(rests))
    assert isinstance(end.value.value, Rested)
