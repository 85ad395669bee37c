"""What an event of the watch brings about: which session is looked at, and how soon."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tasksession.api.session import TaskSession
from tasksession.cluster.expected_guards import GUARDS
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.guards import Guards
from tasksession.engine.intake import Intake
from tasksession.engine.queue import NORMAL, WorkQueue
from tasksession.engine.rechecks import Rechecks
from tasksession.engine.schedule import Schedule
from tasksession.lifecycle.key import Key, key_of
from tests.unit import make
from tests.unit.engine.reviewing import REVIEW_OF_USE, policy_object
from tests.unit.engine.reviewing import Scene as Reviewing
from tests.unit.guards.shipped import OPERATOR, installed

KEY = key_of(make.session())


class Scene:
    """An intake with memory, queue and re-checks, at a scripted API server."""

    def __init__(self) -> None:
        reviewing = Reviewing()
        self.client, self.memory, self.cases = reviewing.client, reviewing.memory, reviewing.cases
        self.queue, self.deadlines = WorkQueue(), Deadlines(lambda key: None)
        self.guards = Guards(GUARDS)
        self.guards.belong_to(OPERATOR)
        schedule = Schedule(self.queue, self.deadlines, self.memory, self.cases, self.client.clock)
        self.rechecks = Rechecks(memory=self.memory, reviewer=reviewing.reviewer, schedule=schedule)
        self.intake = Intake(
            memory=self.memory, guards=self.guards, queue=self.queue, rechecks=self.rechecks, clock=self.client.clock
        )

    def see(self, session: TaskSession) -> None:
        """Have an event of a session brought."""
        self.intake.seen("tasksessions", "MODIFIED", as_object(session))

    async def taken(self) -> list[tuple[Key, bool]]:
        """The keys that are queued, in their order, and whether each takes rights away."""
        found = []
        while len(self.queue):
            key, order = await asyncio.wait_for(self.queue.take(), 5)
            found.append((key, order < NORMAL))
        return found


def as_object(session: TaskSession) -> dict[str, Any]:
    """A session as the watch brings it."""
    return session.model_dump(mode="json", by_alias=True, exclude_none=True)


def job(**metadata: Any) -> dict[str, Any]:
    """A Job as the watch brings it."""
    annotations = {"tasksession.dev/session": "triage"}
    known = {"name": "triage", "namespace": make.NAMESPACE, "uid": make.JOB_UID, "resourceVersion": "20"}
    return {"metadata": {**known, "annotations": annotations, **metadata}, "spec": {"suspend": True}}


async def test_a_session_is_looked_at_once_for_each_view() -> None:
    """The echo of a view that is known costs nothing; a revoked session's turn comes before all others."""
    scene = Scene()
    scene.see(make.session())
    assert await scene.taken() == [(KEY, False)]
    scene.queue.done(KEY)
    scene.see(make.session())
    assert await scene.taken() == []
    scene.memory.see_job(make.job(released_as=make.active().status.service_account_name))
    scene.see(make.with_metadata(make.active(revoked=True), resource_version="12"))
    assert await scene.taken() == [(KEY, True)]


@pytest.mark.parametrize("spec", [None, 5], ids=["as it was", "unreadable"])
async def test_a_session_that_is_gone_is_looked_at_whatever_its_last_view_holds(spec: object) -> None:
    """Name and uid are enough to know which one it was."""
    scene = Scene()
    scene.see(make.active())
    await scene.taken()
    scene.queue.done(KEY)
    item = as_object(make.active())
    scene.intake.seen("tasksessions", "DELETED", item if spec is None else {**item, "spec": spec})
    assert await scene.taken() == [(KEY, True)]
    assert scene.memory.session(KEY) is None


async def test_a_view_that_cannot_be_read_changes_nothing() -> None:
    """It is left alone, loudly."""
    scene = Scene()
    scene.see(make.session())
    scene.intake.seen("tasksessions", "MODIFIED", {**as_object(make.session()), "spec": 5, "metadata": {
        **as_object(make.session())["metadata"], "resourceVersion": "99"}})  # fmt: skip
    known = scene.memory.session(KEY)
    assert known is not None
    assert known.metadata.resource_version == "10"


async def test_a_job_brings_its_session_to_its_turn() -> None:
    """Seen, changed or gone; an older view of it brings nothing."""
    scene = Scene()
    scene.intake.seen("jobs", "ADDED", job())
    assert await scene.taken() == [(KEY, False)]
    scene.queue.done(KEY)
    scene.intake.seen("jobs", "MODIFIED", job(resourceVersion="19"))
    assert await scene.taken() == []
    scene.intake.seen("jobs", "DELETED", job(resourceVersion="21"))
    assert await scene.taken() == [(KEY, False)]


async def test_what_a_listing_does_not_show_is_gone() -> None:
    """A deletion in a gap of the watch is told by the next listing alone."""
    scene = Scene()
    scene.see(make.active())
    scene.intake.seen("jobs", "ADDED", job())
    await scene.taken()
    scene.queue.done(KEY)
    scene.intake.seen_all("jobs", make.NAMESPACE, (), "100")
    scene.intake.seen_all("tasksessions", None, (), "100")
    assert scene.memory.session(KEY) is None
    assert list(scene.memory.jobs()) == []
    assert await scene.taken() == [(KEY, True)]


async def test_a_namespace_that_ends_ends_its_live_sessions() -> None:
    """Once, and before all others."""
    scene = Scene()
    scene.see(make.active())
    await scene.taken()
    scene.queue.done(KEY)
    ending = {"metadata": {"name": make.NAMESPACE, "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    for _ in range(2):
        scene.intake.seen("namespaces", "MODIFIED", ending)
    assert await scene.taken() == [(KEY, True)]


async def test_guards_that_are_whole_again_wake_those_that_wait_for_them() -> None:
    """Live sessions have no use for it."""
    scene = Scene()
    items = installed()
    scene.guards.replace((plural, item) for (plural, _), item in items.items())
    (plural, _), guard = next(iter(items.items()))
    scene.intake.seen(plural, "DELETED", guard)
    assert scene.guards.missing()
    scene.see(make.session())
    scene.see(make.with_metadata(make.active(), name="live", uid="live"))
    for key, _ in await scene.taken():
        scene.queue.done(key)
    scene.intake.seen(plural, "ADDED", guard)
    assert not scene.guards.missing()
    assert await scene.taken() == [(KEY, False)]


@pytest.mark.parametrize("how", ["suspended", "deleted", "changed"])
async def test_a_policy_that_changes_has_its_sessions_looked_at(how: str) -> None:
    """First of all those that it no longer allows."""
    scene = Scene()
    scene.intake.seen("sessionpolicies", None, policy_object())
    assert scene.intake.listed.is_set()
    scene.see(make.active())
    scene.memory.see_job(make.job(released_as=make.active().status.service_account_name))
    await scene.taken()
    scene.queue.done(KEY)
    changed = policy_object(version="6", suspended=how == "suspended")
    scene.intake.seen("sessionpolicies", "DELETED" if how == "deleted" else "MODIFIED", changed)
    assert await scene.taken() == [(KEY, how != "changed")]
    case = scene.cases.find(make.SESSION_UID)
    assert case is not None
    assert case.asked == 1


async def test_at_a_sweep_sessions_that_are_alike_share_a_review() -> None:
    """A yes is a yes for all of them; after a no, or without an answer, each is looked at by itself."""
    scene = Scene()
    scene.intake.seen("sessionpolicies", None, policy_object())
    alike = [make.with_metadata(make.active(), name=name, uid=name) for name in ("one", "two", "three")]
    scene.client.answers["POST", REVIEW_OF_USE] = {"status": {"allowed": False}}
    await scene.rechecks.run(alike)
    asked = [sent for sent in scene.client.sent if sent.path == REVIEW_OF_USE]
    assert len(asked) == 1
    assert [key.name for key, _ in await scene.taken()] == ["one", "two", "three"]


async def test_a_listing_is_waited_for_as_a_whole() -> None:
    """Until no more of it comes; where none begins, that is said."""
    scene = Scene()
    assert not await scene.intake.has_listed(within=0.01, quiet=0.01)
    scene.intake.seen("sessionpolicies", None, policy_object())
    assert await scene.intake.has_listed(within=1.0, quiet=0.01)
    assert not scene.intake.listed.is_set()
