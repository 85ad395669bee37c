"""What the engine does with a request of a drive: one call, its answer, and an error that is handed back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tasksession.api.conditions import State
from tasksession.api.fragment import Fragment
from tasksession.api.partial import session_of
from tasksession.cluster import paths
from tasksession.cluster.applying import Applier
from tasksession.cluster.client import Object
from tasksession.cluster.errors import Unreachable
from tasksession.cluster.events import Poster
from tasksession.cluster.expected_guards import GUARDS
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.denials import Denials
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory
from tasksession.engine.queue import WorkQueue
from tasksession.engine.reconciler import Reconciler
from tasksession.engine.schedule import Schedule
from tasksession.engine.telemetry import Telemetry
from tasksession.engine.view import View
from tasksession.lifecycle.case import Cases
from tasksession.lifecycle.incarnations import Incarnations
from tasksession.lifecycle.key import key_of
from tasksession.lifecycle.requests import Unread
from tests.unit import make
from tests.unit.engine.reviewing import Scene as Reviewing

KEY = key_of(make.session())
SESSION = paths.one("TaskSession", make.NAMESPACE, "triage")
STATUS = ("PATCH", f"{SESSION}/status")
EVENTS = ("POST", paths.collection("Event", make.NAMESPACE))


class Engine:
    """An engine without watch, sweep and workers, at a scripted API server; no guard is in force."""

    def __init__(self, answers: Mapping[tuple[str, str], Object | Exception]) -> None:
        reviewing = Reviewing()
        client = self.client = reviewing.client
        client.answers |= {EVENTS: {}, **answers}
        self.memory: Memory = reviewing.memory
        self.cases: Cases = reviewing.cases
        self.queue, self.deadlines = WorkQueue(), Deadlines(lambda key: None)
        guards = Guards(GUARDS)
        guards.replace([])
        self.poster = Poster(client, busy=lambda: False)
        telemetry = Telemetry(self.memory, self.poster, client.clock)
        self.schedule = Schedule(self.queue, self.deadlines, self.memory, self.cases, client.clock)
        self.denials = Denials(Applier(client), self.memory, self.cases, telemetry, self.schedule)
        view = View(self.memory, guards, self.denials, client.clock, make.OPERATOR)
        self.reconciler = Reconciler(
            client=client,
            reviewer=reviewing.reviewer,
            denials=self.denials,
            incarnations=Incarnations(self.cases, view, telemetry, self.schedule),
            schedule=self.schedule,
        )

    def sent(self) -> list[tuple[str, str]]:
        """Method and last part of each request's path, Events left out."""
        return [(each.method, each.path.rsplit("/", 1)[-1]) for each in self.client.sent if "/events" not in each.path]


def as_object(session: object) -> Object:
    """A session as the API server sends it."""
    item: Object = session.model_dump(mode="json", by_alias=True, exclude_none=True)  # type: ignore[attr-defined]
    return item


async def test_without_guards_a_session_waits_and_nothing_is_created() -> None:
    """One write says why; the session is looked at again at a moment that is armed."""
    written = make.with_metadata(make.session(), resource_version="11")
    engine = Engine({STATUS: as_object(written)})
    engine.memory.see_session(make.session())
    await engine.reconciler.reconcile(KEY)
    assert engine.sent() == [("PATCH", "status")]
    body = engine.client.sent[0].body
    assert body is not None
    assert body["metadata"] == {"uid": make.SESSION_UID, "resourceVersion": "10"}
    assert {condition["reason"] for condition in body["status"]["conditions"]} == {"GuardsMissing"}
    assert engine.deadlines.is_armed(KEY)


async def test_rights_go_first_and_the_rest_follows() -> None:
    """A revoked session loses its RoleBindings at once, gives way, and comes back for timer, Job and status."""
    session = make.active(revoked=True)
    ended = make.with_metadata(make.ended(), resource_version="12")
    binding = session.status.grants[0].role_binding
    engine = Engine(
        {
            ("DELETE", paths.one("RoleBinding", make.NAMESPACE, binding)): {},
            ("DELETE", paths.one("Job", make.NAMESPACE, session.status.service_account_name or "")): {},
            ("GET", paths.one("Job", make.NAMESPACE, "triage")): {},
            ("PATCH", paths.one("Job", make.NAMESPACE, "triage")): {},
            STATUS: as_object(ended),
        }
    )
    engine.memory.see_session(session)
    engine.memory.see_job(make.job(released_as=session.status.service_account_name, started=make.NOW))
    await engine.reconciler.reconcile(KEY)
    assert engine.sent() == [("DELETE", binding)]
    assert engine.queue.busy
    await engine.reconciler.drain(engine.cases.held)
    assert engine.sent()[1:] == [
        ("DELETE", session.status.service_account_name),
        ("PATCH", "triage"),
        ("PATCH", "status"),
    ]
    assert engine.cases.find(make.SESSION_UID) is None
    known = engine.memory.session(KEY)
    assert known is not None
    assert known.status.state is State.COMPLETED


async def test_a_rolebinding_that_cannot_be_deleted_keeps_no_other_and_costs_the_timer() -> None:
    """The error is raised, for the queue; the identity that is bound goes with the timer."""
    session = make.active(revoked=True)
    timer = paths.one("Job", make.NAMESPACE, session.status.service_account_name or "")
    binding = paths.one("RoleBinding", make.NAMESPACE, session.status.grants[0].role_binding)
    engine = Engine({("DELETE", binding): Unreachable("no answer"), ("DELETE", timer): {}})
    engine.memory.see_session(session)
    engine.memory.see_job(make.job(released_as=session.status.service_account_name, started=make.NOW))
    with pytest.raises(Unreachable):
        await engine.reconciler.reconcile(KEY)
    assert [method for method, _ in engine.sent()] == ["DELETE", "DELETE"]
    assert engine.cases.held


async def test_a_session_that_cannot_be_read_is_ended_beside_everything_else() -> None:
    """Its rights and its timer go as any other's; no worker waits for the write of its status."""
    session = session_of(Fragment(as_object(make.active()), too_large=True))
    timer, binding = session.status.service_account_name or "", session.status.grants[0].role_binding
    engine = Engine(
        {
            ("DELETE", paths.one("RoleBinding", make.NAMESPACE, binding)): {},
            ("DELETE", paths.one("Job", make.NAMESPACE, timer)): {},
            STATUS: as_object(make.with_metadata(make.ended(), resource_version="12")),
        }
    )
    engine.memory.see_session(session)
    engine.memory.see_job(make.job(released_as=timer, condition=("Complete", "", make.NOW)))
    await engine.reconciler.reconcile(KEY)
    await engine.reconciler.drain(engine.cases.held)
    assert engine.sent() == [("DELETE", binding), ("DELETE", timer)]
    assert engine.denials.holds(session)
    assert engine.denials._writing is not None
    await asyncio.wait_for(engine.denials._writing, 5)
    assert engine.sent()[-1] == ("PATCH", "status")
    assert not engine.denials.holds(session)


async def test_a_stale_view_is_read_again() -> None:
    """A conflict costs one read; what is no TaskSession by its form is left alone, loudly."""
    engine = Engine({("GET", SESSION): {"metadata": {"name": "triage"}, "spec": 5}})
    engine.memory.see_session(make.session())
    with pytest.raises(Unread):
        await engine.reconciler.reconcile(KEY)
    assert engine.sent() == [("PATCH", "status"), ("GET", "triage")]
