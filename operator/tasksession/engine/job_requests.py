"""Gives annotated Jobs the TaskSession they ask for, and stops Jobs whose session is no more.

The reconciler calls `attend` once the session of a name has had what it needs. What is to be done is decided by
`lifecycle.asking`; nothing is created for a Job that ran, and nothing is stopped on the word of a cache alone.
"""

from __future__ import annotations

from collections.abc import Callable

from tasksession.cluster import events, paths
from tasksession.cluster.applying import Applier
from tasksession.cluster.client import Client
from tasksession.engine.memory import Memory, readable
from tasksession.engine.queue import Key, WorkQueue
from tasksession.lifecycle import actions
from tasksession.lifecycle.asking import attend, is_bare, rejected
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.observed import ObservedJob, Progress, Refusal, RefusalKind

#: How soon, and how late at the latest, a TaskSession that could not be created is tried again.
_SOONEST_RETRY, _LATEST_RETRY = 30.0, 300.0
#: How soon to look again where a TaskSession is in the way that is about to go.
_SOON_SECONDS = 1.0
#: Of so many Jobs it is remembered what they were told, so that they are not told again at every look.
_TOLD_LIMIT = 16384


class JobRequests:
    """What is done for Jobs beside what is done for sessions."""

    def __init__(
        self,
        *,
        client: Client,
        applier: Applier,
        memory: Memory,
        queue: WorkQueue,
        post: Callable[[events.Subject, actions.Announcement], None],
    ) -> None:
        self._client = client
        self._applier = applier
        self._memory = memory
        self._queue = queue
        self._post = post
        self._told: dict[str, str] = {}
        self._retries: dict[str, float] = {}

    async def attend(self, key: Key) -> None:
        """Bring the Jobs of one session's name to rest. Raises ClusterError where it has to be tried again."""
        if self._memory.namespace_ends(key.namespace):
            return
        for job in self._memory.jobs_of(key):
            await self._carry_out(key, job, attend(job, self._memory.session(key)))

    async def _carry_out(self, key: Key, job: ObservedJob, decision: Decision) -> None:
        for action in decision.actions:
            match action:
                case actions.CreateSession():
                    await self._create(key, job, action)
                case actions.StopJob():
                    await self._stop(key, job, action)
                case actions.TellJob():
                    self._tell(job, action)

    async def _create(self, key: Key, job: ObservedJob, action: actions.CreateSession) -> None:
        outcome = await self._applier.apply(action, Progress())
        if outcome.session is not None:
            self._memory.see_session(outcome.session)
        refusal = outcome.refusal
        if refusal is not None:
            await self._refused(key, job, action, refusal)
        elif self._memory.session(key) is None:
            # One that is about to go, or went while it was looked at.
            self._queue.add_later(key, _SOON_SECONDS)
        else:
            # Also where it is somebody else's: then there is something to tell.
            await self._carry_out(key, job, attend(job, self._memory.session(key)))

    async def _refused(self, key: Key, job: ObservedJob, action: actions.CreateSession, refusal: Refusal) -> None:
        if is_bare(action.manifest) and refusal.kind is RefusalKind.INVALID:
            await self._carry_out(key, job, rejected(job, refusal))
            return
        decision = attend(job, None, refusal)
        if not any(isinstance(action, actions.CreateSession) for action in decision.actions):
            self._queue.add_later(key, self._retry_after(job))
        await self._carry_out(key, job, decision)

    def _retry_after(self, job: ObservedJob) -> float:
        delay = min(_LATEST_RETRY, 2 * self._retries.pop(job.uid, _SOONEST_RETRY / 2))
        self._retries[job.uid] = delay
        if len(self._retries) > _TOLD_LIMIT:
            del self._retries[next(iter(self._retries))]
        return delay

    async def _stop(self, key: Key, job: ObservedJob, action: actions.StopJob) -> None:
        """Stop a Job once both it and the session have been read afresh: a view may be older than the other's."""
        item = await self._client.find(paths.one("TaskSession", key.namespace, key.name))
        session = readable(item) if item is not None else None
        if item is not None and session is None:
            # One that cannot be read is left alone, and its Job with it.
            return
        if session is not None:
            self._memory.see_session(session)
        found = await self._client.find(paths.one("Job", job.namespace, job.name))
        if found is None:
            self._memory.lose_job(job)
            return
        current = ObservedJob.from_object(found)
        self._memory.see_job(current)
        if action in attend(current, session).actions:
            outcome = await self._applier.apply(action, Progress())
            if outcome.job is not None:
                self._memory.see_job(outcome.job)

    def _tell(self, job: ObservedJob, action: actions.TellJob) -> None:
        """Post an Event, once for each reason: its words may change with each attempt."""
        if self._told.pop(job.uid, None) == action.announcement.reason:
            self._told[job.uid] = action.announcement.reason
            return
        self._told[job.uid] = action.announcement.reason
        if len(self._told) > _TOLD_LIMIT:
            del self._told[next(iter(self._told))]
        self._post(events.about_job(job), action.announcement)
