"""The status of sessions that cannot be read: written beside all else, or told by an Event where that is impossible."""

from __future__ import annotations

import asyncio

from tasksession.api.conditions import State
from tasksession.api.fragment import Fragment
from tasksession.api.partial import session_of
from tasksession.api.session import TaskSession
from tasksession.cluster.applying import Applier
from tasksession.cluster.client import Object
from tasksession.cluster.errors import Unreachable, refusal
from tasksession.engine.denials import Denials
from tasksession.engine.memory import Memory
from tasksession.lifecycle.actions import Announcement, WriteStatus
from tasksession.lifecycle.case import Cases
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.observed import Observed, Progress
from tasksession.lifecycle.plan import plan
from tests.unit import make
from tests.unit.engine.scripted import Script, ScriptedClient
from tests.unit.lifecycle.driving import Silence

FULL = refusal(status=500, reason="", message="etcdserver: request is too large", retry_after=None)


class Told(Silence):
    """Remembers what was told, and what is to come later."""

    def __init__(self) -> None:
        self.announcements: list[Announcement] = []
        self.ends: list[str] = []
        self.delays: list[float] = []
        self.at_once: list[Key] = []

    def ended(self, session: TaskSession, *, recorded: bool) -> None:
        """Remember a session that is over."""
        self.ends.append(session.metadata.name)

    def announced(self, session: TaskSession, announcement: Announcement) -> bool:
        """Remember an Event."""
        self.announcements.append(announcement)
        return True

    def later(self, key: Key, seconds: float) -> None:
        """Remember a delay."""
        self.delays.append(seconds)

    def now(self, key: Key) -> None:
        """Remember what is to be looked at again."""
        self.at_once.append(key)


class Desk:
    """Denials with a script, and what came of them."""

    def __init__(self, *answers: Object | Exception) -> None:
        self.script = Script(list(answers))
        self.listener = Told()
        self.told, self.later, self.ends = self.listener.announcements, self.listener.delays, self.listener.ends
        applier = Applier(ScriptedClient(self.script))
        self.denials = Denials(applier, Memory(), Cases(), self.listener, self.listener)

    async def put(self, session: TaskSession) -> None:
        """Put in what the plan wants to be written, and wait until its turn is over."""
        self.denials.put(session, denial(session))
        if self.denials._writing is not None:
            await asyncio.wait_for(self.denials._writing, 5)


def unreadable(version: str = "10", **metadata: str) -> TaskSession:
    """A session that is too large to be read."""
    item = make.session().model_dump(mode="json", by_alias=True, exclude_none=True)
    item["metadata"].update({"resourceVersion": version, **metadata})
    return session_of(Fragment(item, too_large=True))


def denial(session: TaskSession) -> WriteStatus:
    """The status that the plan wants to be written of it, once nothing of it is left."""
    observed = Observed(operator_username=make.OPERATOR, progress=Progress(found=()))
    (write,) = plan(session, observed, make.NOW).actions
    assert isinstance(write, WriteStatus)
    return write


def written() -> Object:
    """The session as the API server answers, denied."""
    session = make.session()
    status = session.status.model_copy(update={"state": State.DENIED})
    return session.model_copy(update={"status": status}).model_dump(mode="json", by_alias=True, exclude_none=True)


async def test_it_is_written_and_told() -> None:
    """One request, which empties managedFields as well, and one Event."""
    desk = Desk(written())
    await desk.put(unreadable())
    (sent,) = desk.script.sent
    assert (sent.method, sent.path.endswith("/tasksessions/triage/status")) == ("PATCH", True)
    assert sent.body is not None
    assert sent.body["metadata"]["managedFields"] == [{}]
    assert desk.ends == ["triage"]
    assert len(desk.told) == 1


async def test_where_there_is_no_room_an_event_says_so_once() -> None:
    """It is not tried again before the object is another one."""
    desk = Desk(FULL, written())
    await desk.put(unreadable())
    await desk.put(unreadable())
    assert len(desk.script.sent) == 1
    assert [each.message.endswith("Its status cannot be stored: delete it.") for each in desk.told] == [True]
    await desk.put(unreadable(version="11"))
    assert len(desk.script.sent) == 2
    assert len(desk.ends) == 1


async def test_no_answer_is_tried_again_ever_more_seldom() -> None:
    """An API server that does not answer in time says nothing of the object: nobody is told to delete it."""
    desk = Desk(Unreachable("PATCH: time-out"), Unreachable("PATCH: time-out"), written())
    await desk.put(unreadable())
    await desk.put(unreadable())
    assert len(desk.script.sent) == 1
    assert desk.denials.holds(unreadable())
    assert len(desk.later) == 2
    assert all(0 < seconds <= 2 for seconds in desk.later)
    assert desk.told == []
    for _ in range(2):
        # The moment that it was to wait for has come.
        desk.denials._failed = {uid: (count, 0.0) for uid, (count, _) in desk.denials._failed.items()}
        await desk.put(unreadable())
    assert desk.later[2:] == [4.0]
    assert len(desk.ends) == len(desk.told) == 1
    assert not desk.denials.holds(unreadable())


async def test_each_namespace_has_its_turn() -> None:
    """However many wait in one namespace, that of another is written next; and not more than some wait."""
    desk = Desk(*(written() for _ in range(66)))
    for number in range(80):
        session = unreadable(name=f"many-{number}", uid=f"many-{number}", namespace="crowded")
        desk.denials.put(session, denial(session))
    assert desk.denials.holds(unreadable(uid="many-63", namespace="crowded"))
    assert not desk.denials.holds(unreadable(uid="many-64", namespace="crowded"))
    await desk.put(unreadable(name="other", uid="other", namespace="quiet"))
    names = [sent.path.split("/")[-2] for sent in desk.script.sent]
    assert len(names) == 65
    assert names.index("other") == 1


async def test_what_its_author_writes_meanwhile_does_not_keep_it_from_being_denied() -> None:
    """The write is for the uid, and for no version."""
    desk = Desk(written())
    await desk.put(unreadable())
    (sent,) = desk.script.sent
    assert sent.body is not None
    assert set(sent.body["metadata"]) == {"uid", "managedFields"}


async def test_a_newer_view_is_not_lost() -> None:
    """A conflict is handed back: the session is looked at again."""
    desk = Desk(refusal(status=409, reason="Conflict", message="changed", retry_after=None))
    await desk.put(unreadable())
    assert (desk.ends, desk.listener.at_once) == ([], [key_of(unreadable())])
    assert desk.told == []


async def test_what_fails_stops_no_other() -> None:
    """An answer that is no TaskSession costs its own turn."""
    desk = Desk({"metadata": {}}, written())
    await desk.put(unreadable())
    await desk.put(unreadable(version="11"))
    assert len(desk.ends) == 1


async def test_it_stops_at_once() -> None:
    """What waits is left to the next start."""
    desk = Desk()
    await desk.denials.stop()
    desk.denials.put(unreadable(), denial(unreadable()))
    await desk.denials.stop()
    assert desk.script.sent == []
