"""What `plan` may ask for: each action is one API call (or one look), complete in itself.

The cluster package carries actions out. An action holds everything that is to be written; whoever applies it
decides nothing but whether it has been achieved already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasksession.api.session import TaskSessionStatus


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create the Job of a `jobTemplate`, suspended."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateSession:
    """Create the TaskSession that an annotated Job asks for."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateTimer:
    """Create the timer: the Job without pods with which the rights end when nobody else ends them."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateServiceAccount:
    """Create the session's ServiceAccount."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateRole:
    """Create the Role that holds a session's inline rules."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateRoleBinding:
    """Create one of the session's RoleBindings."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReleaseJob:
    """Let the suspended Job start, with its identity and its deadline: one PATCH."""

    namespace: str
    name: str
    uid: str
    service_account: str
    active_deadline_seconds: int | None
    """None where the author set one that may stay."""


@dataclass(frozen=True, slots=True)
class StopJob:
    """Have the Job controller end a running Job now, so that it reads Failed, DeadlineExceeded."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class FindChildren:
    """List what exists of a session: for ends that cannot know how far an earlier attempt had come."""

    namespace: str
    session_uid: str


@dataclass(frozen=True, slots=True)
class DeleteRoleBinding:
    """Take rights away, by name: it is reserved, and carries the uid of its task, so it is never another session's."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class DeleteTimer:
    """Delete the timer and, through garbage collection, all it owns."""

    namespace: str
    name: str
    uid: str | None


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """Remove a tombstone whose `ttlSecondsAfterFinished` has passed."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """An Event to post once the status that it speaks of is written."""

    warning: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class TellJob:
    """Post an Event on a Job that has no TaskSession to speak for it."""

    namespace: str
    name: str
    uid: str
    announcement: Announcement


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the whole status, if the TaskSession is still the one that was read."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    status: TaskSessionStatus
    announcement: Announcement | None = None
    forgets_field_managers: bool = False
    """Whether to empty managedFields as well: of a session that cannot be read they may be what is too large."""


Action = (
    CreateJob
    | CreateSession
    | CreateTimer
    | CreateServiceAccount
    | CreateRole
    | CreateRoleBinding
    | ReleaseJob
    | StopJob
    | FindChildren
    | DeleteRoleBinding
    | DeleteTimer
    | DeleteSession
    | TellJob
    | WriteStatus
)
