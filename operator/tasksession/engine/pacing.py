"""Keeps a session at which nothing that matters has changed from being looked at again and again.

The reconciler asks before it begins with a session, and tells how the last look went. Whoever may write to a
TaskSession can have the watch bring it a hundred times a second: that must cost neither requests nor the others' time.
It must never hold up the taking of rights.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from tasksession.api.session import TaskSession
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory

_logger = logging.getLogger(__name__)

#: How long a session that waits is left alone after a look, in seconds, unless something that matters changes.
LEAST_SECONDS = 2.0
#: How long a session is left alone whose status somebody else's writes keep from being stored: doubled each time.
_CONTENDED_SECONDS, _LONGEST_CONTENDED_SECONDS = 0.25, 8.0


@dataclass(frozen=True, slots=True)
class _Pause:
    until: float
    facts: Hashable
    conflicts: int


class Pacing:
    """Pauses by the session's uid; each ends at once where the facts it was made for are no longer the same.

    `asked` tells one request for a re-check from the next: it ends a pause as a change does.
    """

    def __init__(self, memory: Memory, guards: Guards, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._guards = guards
        self._monotonic = monotonic
        self._pauses: dict[str, _Pause] = {}

    def left(self, session: TaskSession, asked: int | None) -> float:
        """For how many seconds a session is to be left alone, 0 where it is to be looked at."""
        pause = self._pauses.get(session.metadata.uid)
        if pause is None or pause.facts != self._facts(session, asked):
            return 0.0
        return max(0.0, pause.until - self._monotonic())

    def rested(self, session: TaskSession, asked: int | None, *, seconds: float) -> None:
        """Note that a session came to rest, and has to be looked at in so many seconds at the latest."""
        until = self._monotonic() + min(LEAST_SECONDS, max(0.0, seconds))
        self._pauses[session.metadata.uid] = _Pause(until, self._facts(session, asked), 0)

    def contended(self, session: TaskSession, asked: int | None) -> float:
        """Note that writes of others were in the way of ours twice; returns for how long to leave the session alone."""
        metadata = session.metadata
        known = self._pauses.get(metadata.uid)
        conflicts = known.conflicts if known is not None else 0
        seconds = min(_LONGEST_CONTENDED_SECONDS, _CONTENDED_SECONDS * 2.0**conflicts)
        self._pauses[metadata.uid] = _Pause(self._monotonic() + seconds, self._facts(session, asked), conflicts + 1)
        fields = {"session": metadata.name, "namespace": metadata.namespace, "seconds": seconds}
        _logger.warning("a session is changed by somebody all the time, and is left alone for a while", extra=fields)
        return seconds

    def forget(self, uid: str) -> None:
        """Have a session looked at the next time, whatever was noted."""
        self._pauses.pop(uid, None)

    def _facts(self, session: TaskSession, asked: int | None) -> Hashable:
        """All that matters for what comes next and that an event may bring: not labels, not managedFields."""
        metadata, job = session.metadata, self._memory.job_of(session)
        about_job: Hashable = None
        if job is not None:
            ended = job.end is not None
            about_job = job.uid, job.session, job.suspended, job.service_account, job.being_deleted, ended
        guards = self._guards.missing(), self._guards.stamped_since()
        return metadata.generation, metadata.deletion_timestamp, session.status.state, about_job, asked, guards
