"""Writes the status of sessions that cannot be read: behind everything else, and one after another.

The reconciler hands over what is to be written. For an object of a megabyte the API server may take many seconds, or
find no room at all: no worker waits for that, and no other session does. Each namespace has its turn, whatever waits in
the others. What has no room is told by an Event, once; what had no answer is tried again, ever more seldom. It must
never write for a session that can be read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TypeVar

from tasksession.api.session import TaskSession
from tasksession.cluster.applying import Applier
from tasksession.cluster.errors import ClusterError
from tasksession.engine.memory import Memory
from tasksession.lifecycle.actions import WriteStatus
from tasksession.lifecycle.case import Cases
from tasksession.lifecycle.key import key_of
from tasksession.lifecycle.observed import Progress
from tasksession.lifecycle.surroundings import Schedule, Telemetry

_logger = logging.getLogger(__name__)

#: Of so many sessions it is remembered that there is no room for their status, or that it had no answer.
_LIMIT = 4096
#: So many of one namespace may wait.
_NAMESPACE_LIMIT = 64
#: How soon what had no answer is tried again, in seconds: doubled each time.
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 2.0, 300.0


class Denials:
    """What waits to be written, by namespace. One that comes beyond the limit is left to the next sweep."""

    def __init__(
        self, applier: Applier, memory: Memory, cases: Cases, telemetry: Telemetry, schedule: Schedule
    ) -> None:
        self._applier = applier
        self._memory = memory
        self._cases = cases
        self._telemetry = telemetry
        self._schedule = schedule
        self._waiting: dict[str, dict[str, tuple[TaskSession, WriteStatus]]] = {}
        self._told: dict[str, None] = {}
        self._full: dict[str, str] = {}
        self._failed: dict[str, tuple[int, float]] = {}
        self._writing: asyncio.Task[None] | None = None

    def holds(self, session: TaskSession) -> bool:
        """Whether nothing is left to do for a session but this write, which waits, or has no room."""
        metadata = session.metadata
        waits = metadata.uid in self._waiting.get(metadata.namespace, ()) or self._pause(metadata.uid) > 0
        return waits or self._full.get(metadata.uid) == metadata.resource_version

    def put(self, session: TaskSession, action: WriteStatus) -> None:
        """Have a status written in its turn."""
        metadata = session.metadata
        if self._full.get(metadata.uid) == metadata.resource_version:
            # There is no room for it until the object is another one.
            return
        pause = self._pause(metadata.uid)
        if pause > 0:
            self._schedule.later(key_of(session), pause)
            return
        waiting = self._waiting.setdefault(metadata.namespace, {})
        if metadata.uid in waiting or len(waiting) < _NAMESPACE_LIMIT:
            waiting[metadata.uid] = (session, action)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def stop(self) -> None:
        """Leave what waits to the next start."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    def _pause(self, uid: str) -> float:
        return self._failed.get(uid, (0, 0.0))[1] - time.monotonic()

    async def _write_all(self) -> None:
        while self._waiting:
            namespace, waiting = next(iter(self._waiting.items()))
            uid, (session, action) = next(iter(waiting.items()))
            began = time.monotonic()
            try:
                await self._write(session, action)
            except Exception:
                _logger.exception("a denial was not written", extra=_fields(session))
            finally:
                # One that was put in meanwhile is newer, and has its own turn.
                if waiting.get(uid) == (session, action):
                    del waiting[uid]
                # The next turn is another namespace's.
                del self._waiting[namespace]
                if waiting:
                    self._waiting[namespace] = waiting
            # Half of the time the API server is everybody else's.
            await asyncio.sleep(time.monotonic() - began)

    async def _write(self, session: TaskSession, action: WriteStatus) -> None:
        uid = session.metadata.uid
        try:
            outcome = await self._applier.apply(action, Progress())
        except ClusterError as error:
            failures = self._failed.get(uid, (0, 0.0))[0]
            seconds = min(_LONGEST_RETRY_SECONDS, _RETRY_SECONDS * 2.0 ** min(failures, 20))
            _remember(self._failed, uid, (failures + 1, time.monotonic() + seconds))
            fields = {**_fields(session), "error": str(error), "retry_in_seconds": seconds}
            _logger.warning("a denial could not be written", extra=fields)
            self._schedule.later(key_of(session), seconds)
            return
        self._failed.pop(uid, None)
        if outcome.refusal is not None:
            _remember(self._full, uid, session.metadata.resource_version)
            self._tell(session, action)
            return
        written = outcome.session
        if written is None:
            # There is a newer one, or none.
            self._schedule.now(key_of(session))
            return
        self._memory.see_session(written)
        self._memory.over(written)
        self._telemetry.ended(written, recorded=False)
        self._cases.forget(uid)
        if action.announcement is not None:
            self._telemetry.announced(written, action.announcement)

    def _tell(self, session: TaskSession, action: WriteStatus) -> None:
        uid = session.metadata.uid
        if action.announcement is None or uid in self._told:
            return
        message = f"{action.announcement.message} Its status cannot be stored: delete it."
        if self._telemetry.announced(session, replace(action.announcement, message=message)):
            _remember(self._told, uid, None)


_Value = TypeVar("_Value")


def _remember(known: dict[str, _Value], uid: str, value: _Value) -> None:
    known[uid] = value
    if len(known) > _LIMIT:
        del known[next(iter(known))]


def _fields(session: TaskSession) -> dict[str, str]:
    return {"session": session.metadata.name, "namespace": session.metadata.namespace}
