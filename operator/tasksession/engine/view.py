"""What this operator knows without asking: memory, guards, the API server's time, and its own name.

The drives look through it and take their answers in by it. It decides nothing.
"""

from __future__ import annotations

from datetime import datetime

from tasksession.api.session import TaskSession
from tasksession.cluster.clock import ServerClock
from tasksession.engine.denials import Denials
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.observed import ObservedJob


class View:
    """`lifecycle.surroundings.Known`, of a cluster."""

    def __init__(
        self, memory: Memory, guards: Guards, denials: Denials, clock: ServerClock, operator_username: str
    ) -> None:
        self._memory = memory
        self._guards = guards
        self._denials = denials
        self._clock = clock
        self.operator_username = operator_username

    def now(self) -> datetime:
        """The API server's time."""
        return self._clock.now()

    def guards_missing(self) -> tuple[str, ...]:
        """The guards that are not in force."""
        return self._guards.missing()

    def stamped_since(self) -> datetime | None:
        """Since when it is known who asks."""
        return self._guards.stamped_since()

    def namespace_ends(self, name: str) -> bool:
        """Whether a namespace is being deleted."""
        return self._memory.namespace_ends(name)

    def session(self, key: Key) -> TaskSession | None:
        """The session of that name that exists."""
        return self._memory.session(key)

    def removed(self, key: Key) -> tuple[TaskSession, ...]:
        """Sessions of that name that are gone and have not been cleared away."""
        return self._memory.removed(key)

    def name_used_at(self, key: Key) -> datetime | None:
        """When the youngest of the sessions of that name that are gone was created."""
        return self._memory.name_used_at(key)

    def job_of(self, session: TaskSession) -> ObservedJob | None:
        """The Job of a session."""
        return self._memory.job_of(session)

    def jobs_of(self, key: Key) -> tuple[ObservedJob, ...]:
        """The Jobs that take part, or want to, in the session of that name."""
        return self._memory.jobs_of(key)

    def is_denied_aside(self, session: TaskSession) -> bool:
        """Whether a status that is written beside everything else is all that is left to do for a session."""
        return self._denials.holds(session)

    def see_session(self, session: TaskSession) -> bool:
        """Take in a view of a session."""
        return self._memory.see_session(session)

    def lose_session(self, session: TaskSession) -> bool:
        """Take in that a session is gone."""
        return self._memory.lose_session(session)

    def see_job(self, job: ObservedJob) -> bool:
        """Take in a view of a Job."""
        return self._memory.see_job(job)

    def lose_job(self, job: ObservedJob) -> None:
        """Take in that a Job is gone."""
        self._memory.lose_job(job)

    def rights_gone(self, session: TaskSession) -> None:
        """Take in that all RoleBindings of a session are deleted."""
        self._memory.rights_gone(session)

    def over(self, session: TaskSession) -> None:
        """Take in that a session's status says that it is over."""
        self._memory.over(session)

    def cleared(self, session: TaskSession) -> None:
        """Take in that nothing is left of a session that is gone."""
        self.over(session)
        self._memory.cleared(session)
