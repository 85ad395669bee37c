"""The name under which TaskSessions come and go: what the queue, the memory and the deadlines are kept by."""

from typing import NamedTuple

from tasksession.api.session import TaskSession


class Key(NamedTuple):
    """A TaskSession's namespace and name."""

    namespace: str
    name: str


def key_of(session: TaskSession) -> Key:
    """The key of a session."""
    return Key(session.metadata.namespace, session.metadata.name)
