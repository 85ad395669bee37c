"""What the operator has seen: TaskSessions, their Jobs, policies and guards, as the watch and the sweep brought them.

Only a cache: it is rebuilt by listing, and whatever is granted on it is also limited by the API server. Objects of
one name are told apart by uid, and an older view never replaces a newer one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from tasksession.api.conditions import State
from tasksession.api.metadata import version_number
from tasksession.api.partial import lean, session_of
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tasksession.engine.queue import NORMAL
from tasksession.engine.unfinished import Unfinished
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.observed import ObservedJob
from tasksession.lifecycle.task_job import job_name

_logger = logging.getLogger(__name__)


#: A deadline that is so near counts as come: the server's time is known to some milliseconds, and a session that is
#: called at its deadline must not stand behind all others because it came a moment early.
_NEAR = timedelta(seconds=1)
#: Of so many objects that are gone it is remembered that they are: more than any answer can be late by.
_GONE_LIMIT = 4096

_Value = TypeVar("_Value")


def _remember(gone: dict[str, _Value], uid: str, value: _Value) -> None:
    """Note an object that is gone, and forget the one that was noted longest ago."""
    gone.pop(uid, None)
    gone[uid] = value
    if len(gone) > _GONE_LIMIT:
        del gone[next(iter(gone))]


class Memory:
    """The latest view of every object that decisions are made from."""

    def __init__(self) -> None:
        self._sessions: dict[Key, TaskSession] = {}
        self.unfinished = Unfinished()
        """Those of the sessions that are not finished, by policy."""
        self._removed: dict[Key, dict[str, TaskSession]] = {}
        self._jobs: dict[Key, ObservedJob] = {}
        self._jobs_of_session: dict[Key, set[Key]] = {}
        self._ended_jobs: dict[str, ObservedJob] = {}
        self._gone: dict[str, None] = {}
        self._names_used: dict[str, datetime] = {}
        self._lost_jobs: dict[str, int] = {}
        self._policies: dict[str, SessionPolicy] = {}
        self._ending_namespaces: set[str] = set()

    # Sessions

    def session(self, key: Key) -> TaskSession | None:
        """The session of that name that exists now."""
        return self._sessions.get(key)

    def session_of(self, item: dict[str, Any]) -> TaskSession | None:
        """The session that exists now and is the one of this view, by name and uid."""
        metadata = item["metadata"]
        known = self._sessions.get(Key(metadata["namespace"], metadata["name"]))
        return known if known is not None and known.metadata.uid == metadata["uid"] else None

    def is_active(self, session: TaskSession) -> bool:
        """Whether a session is active in its latest view."""
        known = self._sessions.get(key_of(session))
        same = known is not None and known.metadata.uid == session.metadata.uid
        return same and known is not None and known.status.state is State.ACTIVE

    def sessions(self) -> Iterator[TaskSession]:
        """All sessions that exist, finished ones too."""
        return iter(list(self._sessions.values()))

    def removed(self, key: Key) -> tuple[TaskSession, ...]:
        """Sessions of that name that no longer exist and have not been cleared away yet."""
        return tuple(self._removed.get(key, {}).values())

    def cleared(self, session: TaskSession) -> None:
        """Forget a removed session: nothing of it is left."""
        key = key_of(session)
        gone = self._removed.get(key, {})
        gone.pop(session.metadata.uid, None)
        if not gone:
            self._removed.pop(key, None)

    def knows_session(self, item: dict[str, Any]) -> bool:
        """Whether this view of a TaskSession, or a newer one, was taken in: then it need not be read."""
        known = self.session_of(item)
        if known is None:
            return False
        return version_number(item["metadata"]["resourceVersion"]) <= version_number(known.metadata.resource_version)

    def see_session(self, session: TaskSession) -> bool:
        """Take in a view of a session; False where a newer one is known."""
        key = key_of(session)
        if session.metadata.uid in self._gone:
            # An answer that was overtaken by the news of the deletion: a uid never comes back.
            return False
        known = self._sessions.get(key)
        if known is not None:
            if version_number(session.metadata.resource_version) <= version_number(known.metadata.resource_version):
                return False
            if known.metadata.uid != session.metadata.uid:
                self._bury(key, known)
            self.unfinished.take_out(known)
        session = lean(session)
        self._sessions[key] = session
        self.unfinished.take_in(session)
        return True

    def lose_session(self, session: TaskSession) -> bool:
        """Take in that a session was deleted; False where that is known. `session` is one of the last views of it."""
        key = key_of(session)
        if session.metadata.uid in self._gone:
            return False
        known = self._sessions.get(key)
        if known is not None and known.metadata.uid == session.metadata.uid:
            del self._sessions[key]
            self.unfinished.take_out(known)
            # The later of the two views knows more of what was granted.
            session = max(session, known, key=lambda view: version_number(view.metadata.resource_version))
        self._bury(key, session)
        return True

    def rights_gone(self, session: TaskSession) -> None:
        """Take in that all RoleBindings of a session are deleted, whatever its status still says."""
        self.unfinished.rights_gone(session)

    def over(self, session: TaskSession) -> None:
        """Take in that a session's status says that it is over."""
        self.forget_end(session)
        self.unfinished.forget(session)

    def absent_sessions(self, namespace: str | None, uids: Collection[str], version: str) -> list[TaskSession]:
        """The known sessions that a listing of a namespace, or for None of all, should have shown and did not."""
        return [
            session
            for key, session in self._sessions.items()
            if namespace in (None, key.namespace)
            and session.metadata.uid not in uids
            and version_number(session.metadata.resource_version) <= version_number(version)
        ]

    def _bury(self, key: Key, session: TaskSession) -> None:
        self._removed.setdefault(key, {})[session.metadata.uid] = session
        _remember(self._gone, session.metadata.uid, None)
        created = session.metadata.creation_timestamp
        before = self.name_used_at(key)
        if created is not None and (before is None or created > before):
            _remember(self._names_used, f"{key.namespace}/{key.name}", created)

    def name_used_at(self, key: Key) -> datetime | None:
        """When the youngest of the sessions of that name was created that no longer exist, cleared away or not."""
        return self._names_used.get(f"{key.namespace}/{key.name}")

    # Jobs

    def job_of(self, session: TaskSession) -> ObservedJob | None:
        """The Job of a session: the one that was granted to, else the one of its name."""
        reference = session.status.job_ref
        if reference is None:
            return self._jobs.get(Key(session.metadata.namespace, job_name(session) or ""))
        job = self._jobs.get(Key(session.metadata.namespace, reference.name))
        if job is not None and job.uid == reference.uid:
            return job
        return self._ended_jobs.get(reference.uid)

    def jobs(self) -> Iterator[ObservedJob]:
        """All Jobs of sessions that exist."""
        return iter(list(self._jobs.values()))

    def jobs_of(self, key: Key) -> tuple[ObservedJob, ...]:
        """The Jobs that take part, or want to, in the session of that name."""
        return tuple(self._jobs[job] for job in sorted(self._jobs_of_session.get(key, ())))

    def knows_job(self, item: dict[str, Any]) -> bool:
        """Whether this view of a Job, or a newer one, was taken in: then it need not be read."""
        metadata = item["metadata"]
        known = self._jobs.get(Key(metadata["namespace"], metadata["name"]))
        if known is None or known.uid != metadata["uid"]:
            return False
        return version_number(metadata["resourceVersion"]) <= version_number(known.resource_version)

    def see_job(self, job: ObservedJob) -> bool:
        """Take in a view of a Job; False where a newer one is known."""
        key = Key(job.namespace, job.name)
        known = self._jobs.get(key)
        if known is not None and version_number(job.resource_version) <= version_number(known.resource_version):
            return False
        if version_number(job.resource_version) < self._lost_jobs.get(job.uid, 0):
            # An answer that was overtaken by the news of the deletion. One of the same version may come: a Job whose
            # label was taken off is told as deleted, and read.
            return False
        if known is not None:
            self._let_go(known)
        self._jobs[key] = job
        self._jobs_of_session.setdefault(self.session_key_of_job(job), set()).add(key)
        return True

    def lose_job(self, job: ObservedJob) -> None:
        """Take in that a Job is gone; how it ended is remembered until its session's end is written."""
        key = Key(job.namespace, job.name)
        known = self._jobs.get(key)
        if known is not None and known.uid == job.uid:
            del self._jobs[key]
            self._let_go(known)
        _remember(self._lost_jobs, job.uid, version_number(job.resource_version))
        session = self._sessions.get(self.session_key_of_job(job))
        if job.end is not None and session is not None and not session.status.state.final:
            self._ended_jobs[job.uid] = replace(job, being_deleted=True)

    def absent_jobs(self, namespace: str | None, uids: Collection[str], version: str) -> list[ObservedJob]:
        """The known Jobs that a listing of a namespace, or for None of all, should have shown and did not."""
        return [
            job
            for key, job in self._jobs.items()
            if namespace in (None, key.namespace)
            and job.uid not in uids
            and version_number(job.resource_version) <= version_number(version)
        ]

    def _let_go(self, job: ObservedJob) -> None:
        session = self.session_key_of_job(job)
        jobs = self._jobs_of_session.get(session, set())
        jobs.discard(Key(job.namespace, job.name))
        if not jobs:
            self._jobs_of_session.pop(session, None)

    def forget_end(self, session: TaskSession) -> None:
        """Let go of a remembered Job's end: the session's own status holds it now."""
        key = key_of(session)
        over = [uid for uid, job in self._ended_jobs.items() if self.session_key_of_job(job) == key]
        for uid in over:
            del self._ended_jobs[uid]

    def session_key_of_job(self, job: ObservedJob) -> Key:
        """Which session a Job belongs to: the one its annotation names, else the one of its own name."""
        return Key(job.namespace, job.session or job.name)

    def urgency(self, key: Key, now: datetime) -> float:
        """The queue order of a session: its deadline where its rights have to go now, else after all of those."""
        buried = self._removed.get(key)
        if buried:
            deadlines = (view.status.deadline for view in buried.values() if view.status.state is State.ACTIVE)
            # What was never granted has nothing that could outlive what is overdue.
            return min((moment.timestamp() for moment in deadlines if moment), default=now.timestamp())
        session = self._sessions.get(key)
        if session is None or session.status.state is not State.ACTIVE or session.status.deadline is None:
            return NORMAL
        deadline = session.status.deadline
        job = self.job_of(session)
        ending = now + _NEAR >= deadline or session.spec.revoked or job is None or job.end is not None
        ending = ending or self.namespace_ends(key.namespace) or session.metadata.deletion_timestamp is not None
        return deadline.timestamp() if ending else NORMAL

    # Namespaces

    def see_namespace(self, item: dict[str, Any], *, deleted: bool) -> bool:
        """Take in a view of a namespace; True where it has just begun to be deleted."""
        metadata = item["metadata"]
        name = metadata["name"]
        if deleted or metadata.get("deletionTimestamp") is None:
            self._ending_namespaces.discard(name)
            return False
        new = name not in self._ending_namespaces
        self._ending_namespaces.add(name)
        return new

    def namespace_ends(self, name: str) -> bool:
        """Whether a namespace is being deleted."""
        return name in self._ending_namespaces

    # Policies

    def policy(self, name: str) -> SessionPolicy | None:
        """The policy of that name."""
        return self._policies.get(name)

    def policies(self) -> Iterable[str]:
        """The names of all known policies."""
        return tuple(self._policies)

    def is_withdrawn(self, name: str) -> bool:
        """Whether a policy is suspended, or not known to exist."""
        policy = self._policies.get(name)
        return policy is None or policy.spec.suspended

    def see_policy(self, item: dict[str, Any]) -> bool:
        """Take in a view of a policy; one that cannot be read counts as none, so it grants nothing."""
        name = item["metadata"]["name"]
        known = self._policies.get(name)
        try:
            policy = SessionPolicy.model_validate(item)
        except ValidationError:
            self._policies.pop(name, None)
            return True
        if known is not None and version_number(policy.metadata.resource_version) <= version_number(
            known.metadata.resource_version
        ):
            return False
        self._policies[name] = policy
        return True

    def lose_policy(self, item: dict[str, Any]) -> bool:
        """Take in that a policy was deleted."""
        metadata = item["metadata"]
        known = self._policies.get(metadata["name"])
        if known is None or known.metadata.uid != metadata["uid"]:
            return False
        del self._policies[metadata["name"]]
        return True


def readable(item: dict[str, Any]) -> TaskSession | None:
    """Read a TaskSession; None, loudly, for one that does not fit the model: it is left alone and granted nothing."""
    try:
        return session_of(item)
    except ValidationError as error:
        metadata = item.get("metadata") or {}
        _logger.error(
            "a TaskSession cannot be read",
            extra={
                "session": metadata.get("name"),
                "namespace": metadata.get("namespace"),
                "problems": [f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors()],
            },
        )
        return None
