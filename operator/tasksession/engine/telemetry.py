"""What happened, told to people: log lines, Events, and the record of each session that ends.

The drives tell it. It waits for nothing, and never holds token bytes.
"""

from __future__ import annotations

import logging
from typing import Any

from tasksession.api.session import TaskSession
from tasksession.cluster import events
from tasksession.cluster.clock import ServerClock
from tasksession.engine.memory import Memory
from tasksession.lifecycle import actions
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.observed import ObservedJob, Refusal
from tasksession.lifecycle.task_job import belongs
from tasksession.record.session_record import session_record

_logger = logging.getLogger(__name__)


class Telemetry:
    """`lifecycle.surroundings.Telemetry`, for a cluster."""

    def __init__(self, memory: Memory, poster: events.Poster, clock: ServerClock) -> None:
        self._memory = memory
        self._poster = poster
        self._clock = clock

    def granted(self, session: TaskSession) -> None:
        """The session's rights are live, and its status says so."""
        account = session.status.service_account_name
        _logger.info("session granted", extra={**_fields(session), "service_account": account})

    def ended(self, session: TaskSession, *, recorded: bool) -> None:
        """The session's status says that it is over; `recorded`: as its record has said before."""
        if not recorded:
            _logger.info("session ended", extra=session_record(session, removed=False))

    def removed(self, session: TaskSession, *, recorded: bool) -> None:
        """The TaskSession is gone, and so is all that was left of it."""
        if not recorded:
            record = session_record(session, removed=True, ended_at=self._clock.now())
            _logger.info("session ended", extra=record)

    def announced(self, session: TaskSession, announcement: actions.Announcement) -> bool:
        """Tell of the session, and of what it means for a Job that its author created."""
        kept = self._poster.post(events.about_session(session), announcement)
        job = self._memory.job_of(session)
        if session.spec.task.job is not None and job is not None and belongs(session, job):
            kept = self._poster.post(events.about_job(job), announcement) and kept
        return kept

    def told(self, job: ObservedJob, announcement: actions.Announcement) -> bool:
        """Tell whoever looks at a Job that has no session to speak for it."""
        return self._poster.post(events.about_job(job), announcement)

    def refused_status(self, session: TaskSession, action: actions.WriteStatus, refusal: Refusal) -> None:
        """A status will not be stored: what a last one would have said goes to the record and into an Event."""
        if not action.status.state.final:
            fields = {**_fields(session), "error": refusal.message}
            _logger.error("a status cannot be stored: the session is ended", extra=fields)
            return
        unsaved = session.model_copy(update={"status": action.status})
        _logger.info("session ended", extra=session_record(unsaved, removed=False))
        if action.announcement is not None:
            self.announced(session, action.announcement)

    def contended(self, session: TaskSession, seconds: float) -> None:
        """Writes of others keep the session's status from being stored: it is left alone for a while."""
        fields = {**_fields(session), "seconds": seconds}
        _logger.warning("a session is changed by somebody all the time, and is left alone for a while", extra=fields)


def failure_fields(key: Key, error: BaseException, delay: float) -> dict[str, Any]:
    """The log fields of an attempt that failed."""
    return {
        "session": key.name,
        "namespace": key.namespace,
        "error": f"{type(error).__name__}: {error}",
        "retry_in_seconds": round(delay, 2),
    }


def _fields(session: TaskSession) -> dict[str, Any]:
    return {"session": session.metadata.name, "namespace": session.metadata.namespace}
