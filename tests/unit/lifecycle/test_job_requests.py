"""A TaskSession that is refused for an annotated Job: tried again later, whatever is written to the Job meanwhile."""

from datetime import timedelta

import pytest

from tasksession.lifecycle import actions
from tasksession.lifecycle.job_requests import JobRequests
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.observed import ObservedJob, Progress, Refusal, RefusalKind
from tasksession.lifecycle.requests import Apply, Outcome
from tests.unit import make
from tests.unit.lifecycle.driving import Seen, Silence
from tests.unit.lifecycle.world import World

KEY = Key(make.NAMESPACE, "triage")
FULL = Refusal(RefusalKind.QUOTA, "TaskSession", "exceeded quota")


class Told(Silence):
    """Remembers delays and what was told."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.reasons: list[str] = []
        self.room = True

    def later(self, key: Key, seconds: float) -> None:
        """Remember a delay."""
        self.delays.append(seconds)

    def told(self, job: ObservedJob, announcement: actions.Announcement) -> bool:
        """Remember a reason, where there is room."""
        self.reasons.append(announcement.reason)
        return self.room


class Scene:
    """An annotated Job, and nothing else."""

    def __init__(self) -> None:
        self.world = World()
        self.known = Seen(self.world)
        self.told = Told()
        self.requests = JobRequests(self.known, self.told, self.told)
        self.known.see_job(make.annotated_job())

    def look(self, refusal: Refusal = FULL) -> int:
        """Look at the Job; returns how many TaskSessions were tried, each of them refused."""
        tried = 0
        steps = self.requests.steps(KEY)
        try:
            request = next(steps)
            while True:
                assert isinstance(request, Apply)
                tried += 1
                request = steps.send(Outcome(Progress(), refusal=refusal))
        except StopIteration:
            return tried


def test_what_is_written_to_the_job_does_not_hurry_the_next_try() -> None:
    """However often it is looked at, the TaskSession is tried after 30 seconds, and then ever more seldom."""
    scene = Scene()
    assert [scene.look() for _ in range(3)] == [1, 0, 0]
    assert scene.told.delays == [30.0, 30.0, 30.0]
    for delay in (60.0, 120.0, 240.0, 300.0, 300.0):
        scene.world.now += timedelta(seconds=300)
        assert scene.look() == 1
        assert scene.told.delays[-1] == delay
    assert scene.told.reasons == ["QuotaExceeded"]


def test_what_can_never_be_created_is_not_tried_at_every_look() -> None:
    """Neither what the annotations ask for, nor what would only tell of the problem."""
    scene = Scene()
    invalid = Refusal(RefusalKind.INVALID, "TaskSession", "spec.ttl: Invalid value")
    assert [scene.look(invalid) for _ in range(3)] == [2, 0, 0]
    assert scene.told.reasons == ["InvalidJob"]


def test_a_job_that_asks_for_something_else_is_tried_at_once() -> None:
    """What was refused is not what it asks for now."""
    scene = Scene()
    scene.look()
    scene.known.see_job(make.annotated_job(annotations={"ttl": "5m"}, version=99))
    assert scene.look() == 1


@pytest.mark.parametrize("room", [True, False])
def test_only_what_was_told_is_not_told_again(room: bool) -> None:
    """Where there was no room for the Event, it is posted after the next try."""
    scene = Scene()
    scene.told.room = room
    for _ in range(2):
        scene.look()
        scene.world.now += timedelta(seconds=300)
    assert len(scene.told.reasons) == (1 if room else 2)
