"""What people are told: log lines with the fields that searches use, one record for each session, Events."""

from __future__ import annotations

import logging
import time

import pytest

from tasksession.api.conditions import State
from tasksession.cluster.events import Poster
from tasksession.engine.memory import Memory
from tasksession.engine.telemetry import Telemetry
from tasksession.lifecycle.actions import Announcement, WriteStatus
from tasksession.lifecycle.observed import STATUS, Refusal, RefusalKind
from tests.unit import make
from tests.unit.engine.scripted import Script, ScriptedClient

TOLD = Announcement(warning=True, reason="Denied", message="The policy says no.")


class Scene:
    """Telemetry over a scripted client that answers every Event."""

    def __init__(self) -> None:
        self.script = Script([{} for _ in range(10)])
        client = ScriptedClient(self.script)
        now = time.monotonic()
        client.clock.observe(make.NOW.strftime("%a, %d %b %Y %H:%M:%S GMT"), sent=now, received=now)
        self.memory = Memory()
        self.poster = Poster(client, busy=lambda: False)
        self.telemetry = Telemetry(self.memory, self.poster, client.clock)

    async def events(self) -> list[tuple[str, str]]:
        """Kind and reason of each Event that was posted."""
        await self.poster.drain()
        bodies = [sent.body or {} for sent in self.script.sent]
        return [(body["involvedObject"]["kind"], body["reason"]) for body in bodies]


async def test_each_session_has_one_record(caplog: pytest.LogCaptureFixture) -> None:
    """One that was recorded before its status could say that it is over is not recorded once more."""
    scene = Scene()
    with caplog.at_level(logging.INFO):
        scene.telemetry.granted(make.active())
        scene.telemetry.ended(make.ended(), recorded=False)
        scene.telemetry.ended(make.ended(), recorded=True)
        scene.telemetry.removed(make.active(), recorded=False)
        scene.telemetry.removed(make.active(), recorded=True)
    assert [record.message for record in caplog.records] == ["session granted", "session ended", "session ended"]
    assert [getattr(record, "state", None) for record in caplog.records] == [None, make.ended().status.state, "Removed"]


async def test_an_author_reads_it_on_their_job_as_well() -> None:
    """What concerns a Job that somebody created is told there too; of a Job that we create, on the TaskSession only."""
    scene = Scene()
    joined = make.session(task={"job": {"name": "work"}})
    scene.memory.see_job(make.joining_job())
    scene.telemetry.announced(joined, TOLD)
    scene.telemetry.announced(make.session(), TOLD)
    scene.telemetry.told(make.joining_job(), TOLD)
    kinds = [kind for kind, _ in await scene.events()]
    assert kinds == ["TaskSession", "Job", "TaskSession", "Job"]


@pytest.mark.parametrize("state", [State.ACTIVE, State.EXPIRED])
async def test_a_status_that_will_not_be_stored_is_told(state: State, caplog: pytest.LogCaptureFixture) -> None:
    """A last one goes to the record and into an Event; of a grant, which is taken back, the log says so."""
    scene = Scene()
    session = make.session()
    metadata, status = session.metadata, session.status.model_copy(update={"state": state})
    action = WriteStatus(metadata.namespace, metadata.name, metadata.uid, metadata.resource_version, status, TOLD)
    with caplog.at_level(logging.INFO):
        scene.telemetry.refused_status(session, action, Refusal(RefusalKind.INVALID, STATUS, "too large"))
        scene.telemetry.contended(session, 0.5)
    first = "session ended" if state.final else "a status cannot be stored: the session is ended"
    assert caplog.records[0].message == first
    assert [reason for _, reason in await scene.events()] == (["Denied"] if state.final else [])


async def test_one_namespace_keeps_no_events_from_another() -> None:
    """Of a burst some hundred wait, and are told so beyond that; the next Event of another namespace is not behind."""
    scene = Scene()
    scene.script.answers.extend({} for _ in range(600))
    crowd = make.with_metadata(make.session(), namespace="crowded")
    kept = [scene.telemetry.announced(crowd, TOLD) for _ in range(600)]
    assert kept == [True] * 500 + [False] * 100
    assert scene.telemetry.announced(make.session(), TOLD)
    await scene.poster.drain()
    namespaces = [sent.path.split("/")[-2] for sent in scene.script.sent]
    assert namespaces.index(make.NAMESPACE) < 4
    assert len(namespaces) == 501
