"""Gives annotated Jobs the TaskSession they ask for, and stops Jobs whose session is no more, without I/O.

`incarnations` asks for it once the session of a name has had what it needs. What is to be done is decided by
`asking`; nothing is created for a Job that ran, and nothing is stopped on the word of a cache alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.asking import attend, is_bare, rejected
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.observed import JobRequest, ObservedJob, Progress, Refusal, RefusalKind
from tasksession.lifecycle.requests import Apply, Outcome, ReadJob, ReadSession, Steps, Unread
from tasksession.lifecycle.surroundings import Known, Schedule, Telemetry

#: How soon, and how late at the latest, a TaskSession that could not be created is tried again.
_SOONEST_RETRY, _LATEST_RETRY = 30.0, 300.0
#: How soon to look again where a TaskSession is in the way that is about to go.
_SOON_SECONDS = 1.0
#: Of so many Jobs it is remembered what they were told, so that they are not told again at every look.
_TOLD_LIMIT = 16384


@dataclass(frozen=True, slots=True)
class _Retry:
    """When a TaskSession that was refused is tried again: not before, unless the Job asks for something else."""

    delay: float
    not_before: datetime
    asks: JobRequest | None


Attend = Callable[[ObservedJob, TaskSession | None, Refusal | None], Decision]


class JobRequests:
    """What is done for Jobs beside what is done for sessions."""

    def __init__(self, known: Known, telemetry: Telemetry, schedule: Schedule, attend: Attend = attend) -> None:
        self._known = known
        self._telemetry = telemetry
        self._schedule = schedule
        self._attend = attend
        self._told: dict[str, str] = {}
        self._retries: dict[str, _Retry] = {}

    def steps(self, key: Key) -> Steps[None]:
        """Bring the Jobs of one session's name to rest."""
        if self._known.namespace_ends(key.namespace):
            return
        for job in self._known.jobs_of(key):
            decision = self._attend(job, self._known.session(key), None)
            pause = self._pause(job)
            if pause > 0 and any(isinstance(action, actions.CreateSession) for action in decision.actions):
                # Whoever may write to the Job can have it looked at a hundred times a second.
                self._schedule.later(key, pause)
                continue
            yield from self._carry_out(key, job, decision)

    def _carry_out(self, key: Key, job: ObservedJob, decision: Decision) -> Steps[None]:
        for action in decision.actions:
            match action:
                case actions.CreateSession():
                    yield from self._create(key, job, action)
                case actions.StopJob():
                    yield from self._stop(key, job, action)
                case actions.TellJob():
                    self._tell(job, action)

    def _create(self, key: Key, job: ObservedJob, action: actions.CreateSession) -> Steps[None]:
        outcome: Outcome = yield Apply(action, Progress())
        if outcome.session is not None:
            self._retries.pop(job.uid, None)
            self._known.see_session(outcome.session)
        if outcome.refusal is not None:
            yield from self._refused(key, job, action, outcome.refusal)
        elif self._known.session(key) is None:
            # One that is about to go, or went while it was looked at.
            self._schedule.later(key, _SOON_SECONDS)
        else:
            # Also where it is somebody else's: then there is something to tell.
            yield from self._carry_out(key, job, self._attend(job, self._known.session(key), None))

    def _refused(self, key: Key, job: ObservedJob, action: actions.CreateSession, refusal: Refusal) -> Steps[None]:
        if is_bare(action.manifest) and refusal.kind is RefusalKind.INVALID:
            self._schedule.later(key, self._retry_after(job))
            yield from self._carry_out(key, job, rejected(job, refusal))
            return
        decision = self._attend(job, None, refusal)
        if not any(isinstance(action, actions.CreateSession) for action in decision.actions):
            self._schedule.later(key, self._retry_after(job))
        yield from self._carry_out(key, job, decision)

    def _pause(self, job: ObservedJob) -> float:
        """For how many seconds no TaskSession is tried for a Job, 0 where one is."""
        retry = self._retries.get(job.uid)
        if retry is None or retry.asks != job.asks:
            return 0.0
        return max(0.0, (retry.not_before - self._known.now()).total_seconds())

    def _retry_after(self, job: ObservedJob) -> float:
        before = self._retries.pop(job.uid, None)
        delay = min(_LATEST_RETRY, 2 * before.delay) if before is not None else _SOONEST_RETRY
        self._retries[job.uid] = _Retry(delay, self._known.now() + timedelta(seconds=delay), job.asks)
        if len(self._retries) > _TOLD_LIMIT:
            del self._retries[next(iter(self._retries))]
        return delay

    def _stop(self, key: Key, job: ObservedJob, action: actions.StopJob) -> Steps[None]:
        """Stop a Job once both it and the session have been read afresh: a view may be older than the other's."""
        try:
            session: TaskSession | None = yield ReadSession(key.namespace, key.name)
        except Unread:
            # One that cannot be read is left alone, and its Job with it.
            return
        if session is not None:
            self._known.see_session(session)
        current: ObservedJob | None = yield ReadJob(job.namespace, job.name)
        if current is None:
            self._known.lose_job(job)
            return
        self._known.see_job(current)
        if action in self._attend(current, session, None).actions:
            outcome: Outcome = yield Apply(action, Progress())
            if outcome.job is not None:
                self._known.see_job(outcome.job)

    def _tell(self, job: ObservedJob, action: actions.TellJob) -> None:
        """Have an Event posted, once for each reason: its words may change with each attempt."""
        reason = action.announcement.reason
        known = self._told.pop(job.uid, None) == reason
        if known or self._telemetry.told(job, action.announcement):
            self._told[job.uid] = reason
        if len(self._told) > _TOLD_LIMIT:
            del self._told[next(iter(self._told))]
