"""Posts Kubernetes Events about sessions and their Jobs: best effort, never in the way of granting or ending.

The engine hands over an announcement after the status that it speaks of is written. A lost Event loses nothing:
the status holds the same words.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasksession.api import names
from tasksession.api.session import TaskSession
from tasksession.cluster import paths
from tasksession.cluster.client import Client
from tasksession.cluster.errors import ClusterError
from tasksession.lifecycle.actions import Announcement
from tasksession.lifecycle.observed import ObservedJob

_logger = logging.getLogger(__name__)

#: What the API server accepts in the message of an Event.
_MESSAGE_LIMIT = 1024
#: How many Events are posted at once where nothing else is to be done.
_AT_ONCE = 4
#: How many Events of one namespace may wait to be posted.
_WAITING_LIMIT = 500
#: How long a stop waits for Events, in seconds.
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str


def about_session(session: TaskSession) -> Subject:
    """Name a TaskSession as the subject of an Event."""
    metadata = session.metadata
    return Subject(
        names.API_VERSION,
        "TaskSession",
        metadata.namespace,
        metadata.name,
        metadata.uid,
        metadata.resource_version,
    )


def about_job(job: ObservedJob) -> Subject:
    """Name a Job as the subject of an Event: it is shown by `kubectl describe job`."""
    return Subject("batch/v1", "Job", job.namespace, job.name, job.uid, job.resource_version)


def event(subject: Subject, announcement: Announcement, *, time: str) -> dict[str, Any]:
    """Build the Event; `time` is the server's, RFC 3339."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{subject.name[:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": subject.namespace,
        },
        "involvedObject": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
            "resourceVersion": subject.resource_version,
        },
        "type": "Warning" if announcement.warning else "Normal",
        "reason": announcement.reason,
        "message": announcement.message[:_MESSAGE_LIMIT],
        "source": {"component": "tasksession-operator"},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


class Poster:
    """Posts Events behind everything else, one after another while there is more to do: a burst comes before its news.

    Each namespace has its turn, however many wait in another. What waits beyond a bound is dropped, loudly, and whoever
    asked is told so.
    """

    def __init__(self, client: Client, *, busy: Callable[[], bool]) -> None:
        self._client = client
        self._busy = busy
        self._waiting: dict[str, deque[dict[str, Any]]] = {}
        self._posting: asyncio.Task[None] | None = None
        self._dropped = 0

    def post(self, subject: Subject, announcement: Announcement) -> bool:
        """Have an Event posted when its turn comes; False where too many of its namespace wait."""
        waiting = self._waiting.setdefault(subject.namespace, deque())
        if len(waiting) >= _WAITING_LIMIT:
            self._dropped += 1
            return False
        time = self._client.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        waiting.append(event(subject, announcement, time=time))
        if self._posting is None or self._posting.done():
            self._posting = asyncio.create_task(self._post_all())
        return True

    async def drain(self) -> None:
        """Wait a moment for those that wait, and let go of the rest: nobody is held up by Events."""
        if self._posting is None or self._posting.done():
            return
        _, late = await asyncio.wait({self._posting}, timeout=_DRAIN_SECONDS)
        if late:
            self._posting.cancel()
            count = self._dropped + sum(map(len, self._waiting.values()))
            _logger.warning("Events were dropped", extra={"count": count})
            await asyncio.gather(self._posting, return_exceptions=True)

    async def _post_one(self, namespace: str, body: dict[str, Any]) -> None:
        try:
            await self._client.create(paths.collection("Event", namespace), body)
        except ClusterError as error:
            _logger.warning("an Event was not posted", extra={"reason": body["reason"], "error": str(error)})

    def _next(self) -> tuple[str, dict[str, Any]]:
        """Take the next Event; the next turn is another namespace's."""
        namespace = next(iter(self._waiting))
        waiting = self._waiting.pop(namespace)
        body = waiting.popleft()
        if waiting:
            self._waiting[namespace] = waiting
        return namespace, body

    async def _post_all(self) -> None:
        while self._waiting:
            count = 1 if self._busy() else min(_AT_ONCE, sum(map(len, self._waiting.values())))
            await asyncio.gather(*(self._post_one(*self._next()) for _ in range(count)))
        if self._dropped:
            _logger.warning("Events were dropped", extra={"count": self._dropped})
            self._dropped = 0
