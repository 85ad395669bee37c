"""What a drive may ask for, and how it may end: the only ways in which decisions reach the world.

A drive yields requests and is sent the answers. The engine carries them out against the API server, the tests' state
machine against a model. A request that has no answer is thrown back as the error that it met.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from tasksession.api.session import TaskSession
from tasksession.lifecycle.actions import Action, WriteStatus
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.observed import ObservedJob, Progress, Refusal


@dataclass(frozen=True, slots=True)
class ReadSession:
    """Read a TaskSession. Answered by the session, or None where there is none; met by Unread.

    `to_grant`: one that is too large to be granted is answered as one that cannot be read.
    """

    namespace: str
    name: str
    to_grant: bool = False


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Read a Job. Answered by an ObservedJob, or None where there is none."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class AskPolicy:
    """Look up what policy needs, and have it judge. Answered by a Review; `live`: of a session that was granted."""

    session: TaskSession
    live: bool


@dataclass(frozen=True, slots=True)
class Apply:
    """Carry out one action. Answered by an Outcome."""

    action: Action
    progress: Progress


@dataclass(frozen=True, slots=True)
class ApplyTogether:
    """Carry out actions side by side, each whatever becomes of the others. Answered by the errors that they met."""

    actions: tuple[Action, ...]
    progress: Progress


@dataclass(frozen=True, slots=True)
class WriteAside:
    """Have the status of a session that cannot be read written behind everything else. Answered by nothing."""

    session: TaskSession
    action: WriteStatus


Request = ReadSession | ReadJob | AskPolicy | Apply | ApplyTogether | WriteAside


class Unread(Exception):
    """A TaskSession that does not fit the model was to be read: it is left alone."""


_Result = TypeVar("_Result")
Steps = Generator[Request, Any, _Result]
"""Requests one after another, each sent its answer, and a result in the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action achieved.

    `session` or `job`: the object as it now is; `stale`: the session or Job is no longer what the action was
    meant for, so it has to be read again before the next decision.
    """

    progress: Progress
    session: TaskSession | None = None
    job: ObservedJob | None = None
    refusal: Refusal | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Rested:
    """Nothing is left to do before the decision's next look."""

    session: TaskSession
    decision: Decision


@dataclass(frozen=True, slots=True)
class Paused:
    """The rest is left for so many seconds: others go first."""

    session: TaskSession
    seconds: float


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The session was deleted, or replaced, while it was driven."""

    session: TaskSession


Settled = Rested | Paused | Overtaken
