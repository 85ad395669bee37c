"""Posts Kubernetes Events about sessions: best effort, never in the way of granting or ending.

The engine hands over an announcement after the status that it speaks of is written. A lost Event loses nothing:
the status holds the same words.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from tasksession.api import names
from tasksession.api.session import TaskSession
from tasksession.cluster import paths
from tasksession.cluster.client import Client
from tasksession.cluster.errors import ClusterError
from tasksession.lifecycle.actions import Announcement

_logger = logging.getLogger(__name__)

#: What the API server accepts in the message of an Event.
_MESSAGE_LIMIT = 1024


def event(session: TaskSession, announcement: Announcement, *, time: str) -> dict[str, Any]:
    """Build the Event; `time` is the server's, RFC 3339."""
    metadata = session.metadata
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata.name[:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata.namespace,
        },
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": "TaskSession",
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "type": "Warning" if announcement.warning else "Normal",
        "reason": announcement.reason,
        "message": announcement.message[:_MESSAGE_LIMIT],
        "source": {"component": "tasksession-operator"},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


async def post(client: Client, session: TaskSession, announcement: Announcement) -> None:
    """Post one Event; a failure is logged and forgotten."""
    time = client.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    namespace = session.metadata.namespace
    try:
        await client.create(paths.collection("Event", namespace), event(session, announcement, time=time))
    except ClusterError as error:
        _logger.warning("an Event was not posted", extra={"reason": announcement.reason, "error": str(error)})
