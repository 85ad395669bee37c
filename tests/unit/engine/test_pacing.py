"""A session at which nothing that matters changes is left alone for a while; what matters is never held up."""

from collections.abc import Callable

import pytest

from tasksession.api.session import TaskSession
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory
from tasksession.engine.pacing import Pacing
from tests.unit import make


class Scene:
    """A session that waits, the memory and the guards, and a clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.memory = Memory()
        self.pacing = Pacing(self.memory, Guards({}), lambda: self.now)
        self.session = make.session(task={"job": {"name": "work"}})

    def left(self, session: TaskSession | None = None, asked: int | None = None) -> float:
        """For how long the session, or another view of it, is left alone."""
        return self.pacing.left(session or self.session, asked)


def test_a_session_that_rested_is_left_alone_for_two_seconds() -> None:
    """Events that bring nothing new cost nothing; after the pause it is looked at as ever."""
    scene = Scene()
    assert scene.left() == 0.0
    scene.pacing.rested(scene.session, None, seconds=30.0)
    assert scene.left() == 2.0
    assert scene.left(make.with_metadata(scene.session, labels={"n": "1"}, resource_version="99")) == 2.0
    assert scene.left(make.session(uid="another")) == 0.0
    scene.now = 2.0
    assert scene.left() == 0.0


@pytest.mark.parametrize(
    "change",
    [
        lambda session: make.with_metadata(session, generation=2),
        lambda session: make.with_metadata(session, deletion_timestamp=make.NOW),
        lambda session: make.with_status(session, make.active().status),
    ],
    ids=["its spec", "its deletion", "its state"],
)
def test_a_change_that_matters_is_looked_at_at_once(change: Callable[[TaskSession], TaskSession]) -> None:
    """A pause holds for the facts that it was made for, and no others."""
    scene = Scene()
    scene.pacing.rested(scene.session, None, seconds=30.0)
    assert scene.left(change(scene.session)) == 0.0


def test_the_job_and_a_recheck_are_looked_at_at_once() -> None:
    """What the session waits for comes with an event of its own."""
    scene = Scene()
    scene.pacing.rested(scene.session, None, seconds=30.0)
    assert scene.left(asked=1) == 0.0
    scene.memory.see_job(make.joining_job())
    assert scene.left() == 0.0


def test_a_pause_can_be_ended() -> None:
    """A place that became free is offered to those that wait for it."""
    scene = Scene()
    scene.pacing.rested(scene.session, None, seconds=30.0)
    scene.pacing.forget(scene.session.metadata.uid)
    assert scene.left() == 0.0


def test_a_pause_ends_with_the_wait() -> None:
    """A session whose time is over in half a second is looked at then."""
    scene = Scene()
    scene.pacing.rested(scene.session, None, seconds=0.5)
    assert scene.left() == 0.5
    scene.pacing.rested(scene.session, None, seconds=-1.0)
    assert scene.left() == 0.0


def test_contention_is_met_with_ever_longer_pauses() -> None:
    """Who writes to a session all the time gets it looked at ever more seldom, within a bound."""
    scene = Scene()
    pauses = [scene.pacing.contended(scene.session, None) for _ in range(8)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert scene.left() == 8.0
    scene.pacing.rested(scene.session, None, seconds=30.0)
    assert scene.pacing.contended(scene.session, None) == 0.25
