"""Writes the status of sessions that cannot be read: behind everything else, and one after another.

The reconciler hands over what is to be written. For an object of a megabyte the API server may take many seconds, or
find no room at all: no worker waits for that, and no other session does. What could not be written is told by an Event,
once, and tried again when a sweep comes round. It must never write for a session that can be read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tasksession.api.session import TaskSession
from tasksession.cluster.applying import Applier, Outcome
from tasksession.cluster.errors import ClusterError
from tasksession.lifecycle.actions import Announcement, WriteStatus
from tasksession.lifecycle.observed import Progress

_logger = logging.getLogger(__name__)

#: Of so many sessions it is remembered that their status waits to be written, or that it could not be.
_LIMIT = 4096


class Denials:
    """What waits to be written. One that comes beyond the limit is left to the next sweep."""

    def __init__(
        self,
        applier: Applier,
        *,
        wrote: Callable[[TaskSession, Outcome], None],
        announce: Callable[[TaskSession, Announcement], None],
    ) -> None:
        self._applier = applier
        self._wrote = wrote
        self._announce = announce
        self._waiting: dict[str, tuple[TaskSession, WriteStatus]] = {}
        self._told: dict[str, None] = {}
        self._full: dict[str, str] = {}
        self._writing: asyncio.Task[None] | None = None

    def put(self, session: TaskSession, action: WriteStatus) -> None:
        """Have a status written in its turn."""
        uid = session.metadata.uid
        if self._full.get(uid) == session.metadata.resource_version:
            # There is no room for it until the object is another one.
            return
        if uid not in self._waiting and len(self._waiting) >= _LIMIT:
            return
        self._waiting[uid] = (session, action)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def stop(self) -> None:
        """Leave what waits to the next start."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write_all(self) -> None:
        while self._waiting:
            uid = next(iter(self._waiting))
            session, action = self._waiting[uid]
            began = time.monotonic()
            try:
                await self._write(session, action)
            except Exception:
                _logger.exception("a denial was not written", extra=_fields(session))
            finally:
                # One that was put in meanwhile is newer, and has its own turn.
                if self._waiting.get(uid) == (session, action):
                    del self._waiting[uid]
            # Half of the time the API server is everybody else's.
            await asyncio.sleep(time.monotonic() - began)

    async def _write(self, session: TaskSession, action: WriteStatus) -> None:
        try:
            outcome = await self._applier.apply(action, Progress())
        except ClusterError as error:
            _logger.warning("a denial could not be written", extra={**_fields(session), "error": str(error)})
            self._tell(session, action)
            return
        if outcome.refusal is not None:
            _remember(self._full, session.metadata.uid, session.metadata.resource_version)
            self._tell(session, action)
        else:
            self._wrote(session, outcome)
            if outcome.session is not None and action.announcement is not None:
                self._announce(outcome.session, action.announcement)

    def _tell(self, session: TaskSession, action: WriteStatus) -> None:
        uid = session.metadata.uid
        if action.announcement is None or uid in self._told:
            return
        _remember(self._told, uid, None)
        message = f"{action.announcement.message} Its status cannot be stored: delete it."
        self._announce(session, replace(action.announcement, message=message))


_Value = TypeVar("_Value")


def _remember(known: dict[str, _Value], uid: str, value: _Value) -> None:
    known[uid] = value
    if len(known) > _LIMIT:
        del known[next(iter(known))]


def _fields(session: TaskSession) -> dict[str, str]:
    return {"session": session.metadata.name, "namespace": session.metadata.namespace}
