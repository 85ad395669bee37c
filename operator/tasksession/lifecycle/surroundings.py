"""What a drive stands among: what is known of the cluster without asking it, and who is told what happened.

The engine and the tests' state machine each have their own. Nothing here waits, and nothing here decides.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.observed import ObservedJob, Refusal
from tasksession.lifecycle.requests import Settled


class Known(Protocol):
    """What is known of the cluster without asking it, and where answers are taken in."""

    @property
    def operator_username(self) -> str:
        """The name under which the API server knows the operator."""

    def now(self) -> datetime:
        """The API server's time."""

    def guards_missing(self) -> tuple[str, ...]:
        """The guards that are not in force."""

    def stamped_since(self) -> datetime | None:
        """Since when it is known who asks."""

    def namespace_ends(self, name: str) -> bool:
        """Whether a namespace is being deleted."""

    def session(self, key: Key) -> TaskSession | None:
        """The session of that name that exists."""

    def job_of(self, session: TaskSession) -> ObservedJob | None:
        """The Job of a session."""

    def see_session(self, session: TaskSession) -> bool:
        """Take in a view of a session."""

    def lose_session(self, session: TaskSession) -> bool:
        """Take in that a session is gone."""

    def see_job(self, job: ObservedJob) -> bool:
        """Take in a view of a Job."""

    def lose_job(self, job: ObservedJob) -> None:
        """Take in that a Job is gone."""

    def jobs_of(self, key: Key) -> tuple[ObservedJob, ...]:
        """The Jobs that take part, or want to, in the session of that name."""

    def removed(self, key: Key) -> tuple[TaskSession, ...]:
        """Sessions of that name that are gone and have not been cleared away."""

    def cleared(self, session: TaskSession) -> None:
        """Take in that nothing is left of a session that is gone."""

    def name_used_at(self, key: Key) -> datetime | None:
        """When the youngest of the sessions of that name that are gone was created."""

    def rights_gone(self, session: TaskSession) -> None:
        """Take in that all RoleBindings of a session are deleted."""

    def over(self, session: TaskSession) -> None:
        """Take in that a session's status says that it is over."""

    def is_denied_aside(self, session: TaskSession) -> bool:
        """Whether a status that is written beside everything else is all that is left to do for a session."""


class Telemetry(Protocol):
    """Who is told what happened: logs, Events, records."""

    def granted(self, session: TaskSession) -> None:
        """The session's rights are live, and its status says so."""

    def ended(self, session: TaskSession, *, recorded: bool) -> None:
        """The session's status says that it is over; `recorded`: as its record has said before."""

    def removed(self, session: TaskSession, *, recorded: bool) -> None:
        """The TaskSession is gone, and so is all that was left of it."""

    def announced(self, session: TaskSession, announcement: actions.Announcement) -> bool:
        """Something is to be told to whoever looks at the session; False where there is no room for it now."""

    def told(self, job: ObservedJob, announcement: actions.Announcement) -> bool:
        """Something is to be told to whoever looks at a Job that has no session to speak for it; False as above."""

    def refused_status(self, session: TaskSession, action: actions.WriteStatus, refusal: Refusal) -> None:
        """A status will not be stored; of a session's last one this is told once."""

    def contended(self, session: TaskSession, seconds: float) -> None:
        """Writes of others keep the session's status from being stored: it is left alone for a while."""


class Schedule(Protocol):
    """When a session, or a name, is looked at again."""

    def settled(self, end: Settled) -> None:
        """A drive is over."""

    def later(self, key: Key, seconds: float) -> None:
        """A name has to be looked at again."""

    def now(self, key: Key) -> None:
        """A name has to be looked at as soon as its turn comes."""

    def place_is_free(self, policy: str) -> None:
        """A session of a policy is over: another one may be waiting for that."""
