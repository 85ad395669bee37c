"""Posts Kubernetes Events about sessions and their Jobs: best effort, never in the way of granting or ending.

The engine hands over an announcement after the status that it speaks of is written. A lost Event loses nothing:
the status holds the same words.
"""

from __future__ import annotations

import logging
import uuid
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


async def post(client: Client, subject: Subject, announcement: Announcement) -> None:
    """Post one Event; a failure is logged and forgotten."""
    time = client.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        await client.create(paths.collection("Event", subject.namespace), event(subject, announcement, time=time))
    except ClusterError as error:
        _logger.warning("an Event was not posted", extra={"reason": announcement.reason, "error": str(error)})
