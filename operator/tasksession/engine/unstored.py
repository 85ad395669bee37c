"""Statuses that the API server will not store: what they would have said goes to the log and into an Event, once.

The reconciler calls it. A last status is tried again, ever more seldom: only then can the object say what happened.
"""

from __future__ import annotations

import logging

from tasksession.api.session import TaskSession
from tasksession.cluster.errors import Unstorable
from tasksession.lifecycle.actions import WriteStatus
from tasksession.lifecycle.observed import Refusal
from tasksession.record.session_record import session_record

_logger = logging.getLogger(__name__)


class Unstored:
    """The sessions, by uid, that are over and whose status cannot say so."""

    def __init__(self) -> None:
        self._uids: set[str] = set()

    def __contains__(self, uid: str) -> bool:
        """Whether a session's record was written without its status."""
        return uid in self._uids

    def is_news(self, action: WriteStatus) -> bool:
        """Whether this is a last status, and the first time that it is refused."""
        return action.status.state.final and action.uid not in self._uids

    def take(self, session: TaskSession, action: WriteStatus, refusal: Refusal) -> None:
        """Note that a status was refused. Raises Unstorable for a last one, once its record is written.

        A grant whose status is not stored is taken back: nobody could see it, nor end it after a restart.
        """
        if not action.status.state.final:
            fields = {"session": action.name, "namespace": action.namespace, "error": refusal.message}
            _logger.error("a status cannot be stored: the session is ended", extra=fields)
            return
        if action.uid not in self._uids:
            self._uids.add(action.uid)
            unsaved = session.model_copy(update={"status": action.status})
            _logger.info("session ended", extra=session_record(unsaved, removed=False))
        raise Unstorable(f"the status of TaskSession {action.namespace}/{action.name}: {refusal.message}")

    def forget(self, uid: str) -> None:
        """Forget a session that is gone, or whose status says that it is over."""
        self._uids.discard(uid)
