"""Takes one session as far as it can go now: ask `plan`, apply, ask again, until nothing is left to do.

Workers call it, one at a time for each session. It holds no truth: what it remembers between calls only spares
repeated requests, and a crash at any line is followed by the same questions again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tasksession.api.conditions import Reason, State
from tasksession.api.fragment import LARGEST_GRANTED
from tasksession.api.partial import is_cut, problem_with, session_of
from tasksession.api.session import TaskSession
from tasksession.cluster import events, paths
from tasksession.cluster.applying import Applier, Outcome
from tasksession.cluster.client import Client
from tasksession.cluster.errors import ClusterError
from tasksession.engine.attempts import Attempt, Attempts, decides_alike, is_newer, is_ungranted
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.denials import Denials
from tasksession.engine.guards import Guards
from tasksession.engine.job_requests import JobRequests
from tasksession.engine.memory import Memory, key_of
from tasksession.engine.pacing import LEAST_SECONDS, Pacing
from tasksession.engine.queue import NORMAL, Key, WorkQueue
from tasksession.engine.reviews import Reviewer
from tasksession.engine.unstored import Unstored
from tasksession.lifecycle import actions
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.ending import last_resort
from tasksession.lifecycle.observed import Observed, ObservedJob, Progress
from tasksession.lifecycle.plan import plan
from tasksession.lifecycle.status import reason_of
from tasksession.lifecycle.task_job import asking_job, belongs, is_joined, job_name
from tasksession.record.session_record import session_record

_logger = logging.getLogger(__name__)

#: More steps than any life has; reaching it means that a decision does not lead to its own end.
_STEP_LIMIT = 100
#: How soon a re-check that had no answer is made again.
_RECHECK_SECONDS = 30.0
#: How long the remaining writes of a session wait after its rights are gone.
_AFTER_RIGHTS_SECONDS = 0.25
#: How many waiting sessions are woken when one of their policy ends.
_WOKEN = 8
#: How many writes of others one attempt bears before it leaves the session alone for a while.
_CONFLICTS = 1


_CREATIONS = (
    actions.CreateJob,
    actions.CreateTimer,
    actions.CreateServiceAccount,
    actions.CreateRole,
    actions.CreateRoleBinding,
)


class Unsettled(Exception):
    """A session did not come to rest within the step limit."""


class Reconciler:
    """Drives sessions; all it needs comes from the operator that builds it."""

    def __init__(
        self,
        *,
        client: Client,
        memory: Memory,
        queue: WorkQueue,
        deadlines: Deadlines,
        guards: Guards,
        reviewer: Reviewer,
        operator_username: str,
    ) -> None:
        self._client = client
        self._applier = Applier(client)
        self._memory = memory
        self._queue = queue
        self._deadlines = deadlines
        self._guards = guards
        self._reviewer = reviewer
        self._events = events.Poster(client, busy=lambda: queue.busy)
        self._job_requests = JobRequests(
            client=client, applier=self._applier, memory=memory, queue=queue, post=self._events.post
        )
        self._operator_username = operator_username
        self._attempts = Attempts()
        self._asked: dict[str, int] = {}
        self._identity_missing: dict[str, str] = {}
        self._pacing = Pacing(memory, guards)
        self._unstored = Unstored()
        self._denials = Denials(
            self._applier,
            wrote=self._wrote_denial,
            announce=self._announce,
            later=lambda session, seconds: queue.add_later(key_of(session), seconds),
        )

    def recheck(self, session: TaskSession, *, order: float = NORMAL) -> None:
        """Have a session's policy looked at again; asking while a review is under way makes for another one."""
        uid = session.metadata.uid
        self._asked[uid] = self._asked.get(uid, 0) + 1
        self._queue.add(key_of(session), order)

    def report_missing(self, session: TaskSession, message: str) -> None:
        """Have a session ended whose identity or rights are gone, as the sweep saw."""
        current = self._memory.session(key_of(session))
        if current is None or current.status.state is not State.ACTIVE or self._attempts.holds(session.metadata.uid):
            return
        self._identity_missing[session.metadata.uid] = message
        self._queue.add(key_of(session), 0.0)

    async def reconcile(self, key: Key) -> None:
        """Bring every session of a name, and its Jobs, to rest. Raises ClusterError where it has to be tried again."""
        for gone in self._memory.removed(key):
            if not gone.status.state.final:
                if not await self._drive(gone, removed=True):
                    return
                if gone.metadata.uid not in self._unstored:
                    record = session_record(gone, removed=True, ended_at=self._client.clock.now())
                    _logger.info("session ended", extra=record)
            self._forget(gone)
            self._memory.cleared(gone)
        session = self._memory.session(key)
        if session is not None:
            # What ends a session never waits for what its Jobs may need.
            await self._drive(session, removed=False)
        if self._is_too_soon(key):
            # An identity's name carries the Job's uid and a deadline in whole seconds: a second session of the same
            # Job must not come to the name of the first.
            self._queue.add_later(key, 1.0)
        else:
            await self._job_requests.attend(key)
        made = self._memory.session(key)
        if made is None:
            self._deadlines.disarm(key)
        elif session is None:
            await self._drive(made, removed=False)

    def _is_too_soon(self, key: Key) -> bool:
        """Whether a session of that name that is gone was created in this very second."""
        used = self._memory.name_used_at(key)
        return used is not None and self._client.clock.now() < used + timedelta(seconds=1)

    async def drain(self) -> None:
        """Bring sessions to rest that gave way to others, then wait for what was started beside all steps: Events."""
        for held in self._attempts.held:
            key = key_of(held.session)
            try:
                await self.reconcile(key)
            except ClusterError as error:
                _logger.warning("a session is left to the next start", extra=failure_fields(key, error, 0.0))
        await self._denials.stop()
        await self._events.drain()

    async def _drive(self, session: TaskSession, *, removed: bool) -> bool:
        """Take a session as far as it goes; False where it gave way to others and comes back."""
        uid = session.metadata.uid
        # One that has rights to lose is never left alone.
        may_wait = is_ungranted(session) or self._has_lost_its_rights(session)
        pause = self._pacing.left(session, self._asked.get(uid)) if may_wait and not removed else 0.0
        if pause:
            self._queue.add_later(key_of(session), pause)
            return False
        attempt = self._resumed(session) or self._attempts.begin(session)
        try:
            for _ in range(_STEP_LIMIT):
                self.arm_deadline(attempt.session)
                decision = plan(
                    attempt.session, await self._observe(attempt, removed=removed), self._client.clock.now()
                )
                if decision.needs_review:
                    await self._review(attempt)
                elif decision.actions:
                    went_through = await self._apply(attempt, decision)
                    if self._gives_way(decision, attempt) or self._backs_off(attempt):
                        return False
                    if decision.rests and went_through:
                        self._rest(attempt.session, decision)
                        return True
                else:
                    self._rest(attempt.session, decision)
                    return True
                if self._superseded(attempt, removed=removed):
                    return True
            if is_ungranted(attempt.session):
                self._pacing.contended(attempt.session, self._asked.get(uid))
            raise Unsettled(f"TaskSession {session.metadata.namespace}/{session.metadata.name} does not come to rest")
        except BaseException:
            self._attempts.fail(attempt, removed=removed)
            raise
        finally:
            self._attempts.leave(attempt, removed=removed)
            if not self._attempts.left_rights(session.metadata.uid):
                self._reviewer.settle(session.metadata.uid)

    def _has_lost_its_rights(self, session: TaskSession) -> bool:
        return self._attempts.took_rights(session.metadata.uid) or self._denials.holds(session)

    def _backs_off(self, attempt: Attempt) -> bool:
        """Whether somebody else's writes were in the way too often: the others' work goes first then."""
        if attempt.conflicts <= _CONFLICTS:
            return False
        session, attempt.conflicts = attempt.session, 0
        seconds = self._pacing.contended(session, self._asked.get(session.metadata.uid))
        self._attempts.fail(attempt, removed=False)
        self._queue.add_later(key_of(session), seconds)
        return True

    def _resumed(self, session: TaskSession) -> Attempt | None:
        """Go on with the attempt that has begun to take a session's rights; None where there is none."""
        attempt = self._attempts.resume(session.metadata.uid)
        if attempt is None:
            return None
        if is_newer(session, attempt.session):
            self._follow(attempt, session)
        if is_ungranted(attempt.session) and attempt.refusal is None:
            attempt.review = None
        return attempt

    async def _observe(self, attempt: Attempt, *, removed: bool) -> Observed:
        session = attempt.session
        uid = session.metadata.uid
        job = self._memory.job_of(session)
        if not removed and self._is_doubtful(session, job):
            job = await self._read_job(session, job)
        elif not removed and job is not None and self._attempts.reads_job(attempt):
            attempt.job_read = True
            job = await self._read_job(session, job)
        return Observed(
            operator_username=self._operator_username,
            job=job,
            review=attempt.review,
            removed=removed,
            namespace_ends=self._memory.namespace_ends(session.metadata.namespace),
            recheck_due=uid in self._asked,
            guards_missing=self._guards.missing(),
            stamped_since=self._guards.stamped_since(),
            identity_missing=self._identity_missing.get(uid),
            refusal=attempt.refusal,
            progress=attempt.progress,
        )

    @staticmethod
    def _is_doubtful(session: TaskSession, job: ObservedJob | None) -> bool:
        """Whether the watch's word on a Job is not enough for what would follow from it.

        A Job whose label was taken off reaches a watch as deleted, and a deletion in a gap of the watch is never told.
        """
        if session.status.state is State.ACTIVE:
            return job is None
        if session.status.state.final or is_joined(session) or problem_with(session) is not None:
            return False
        owner = asking_job(session)
        if owner is not None:
            return job is None or job.uid != owner
        return job is not None and job.owner_uid != session.metadata.uid

    async def _read_job(self, session: TaskSession, known: ObservedJob | None) -> ObservedJob | None:
        reference = session.status.job_ref
        name = reference.name if reference else job_name(session)
        if name is None:
            return None
        found = await self._client.find(paths.one("Job", session.metadata.namespace, name))
        if found is None:
            if known is not None:
                self._memory.lose_job(known)
            return None
        job = ObservedJob.from_object(found)
        self._memory.see_job(job)
        return job if reference is None or job.uid == reference.uid else None

    async def _review(self, attempt: Attempt) -> None:
        """Have the session reviewed; what was asked before is answered only by a review that lets it go on."""
        uid = attempt.session.metadata.uid
        asked = self._asked.get(uid)
        live = attempt.session.status.state is State.ACTIVE
        if is_cut(attempt.session) and not await self._read_whole(attempt):
            return
        review = await self._reviewer.review(attempt.session, live=live)
        attempt.review = review
        if review.goes_on and self._asked.get(uid) == asked:
            self._asked.pop(uid, None)

    async def _read_whole(self, attempt: Attempt) -> bool:
        """Read a session of which memory holds a part; False where it is another one, or none, by now."""
        metadata = attempt.session.metadata
        path = paths.one("TaskSession", metadata.namespace, metadata.name)
        found = await self._client.find(path, largest=LARGEST_GRANTED)
        if found is None or found["metadata"]["uid"] != metadata.uid:
            await self._refresh(attempt, keep=False)
            return False
        attempt.session = session_of(found)
        return problem_with(attempt.session) is None

    async def _apply(self, attempt: Attempt, decision: Decision) -> bool:
        """Carry out a decision's actions in order; False where one was refused or no longer meets what it was for."""
        if any(isinstance(action, _CREATIONS) for action in decision.actions):
            attempt.refusal = None
        if all(isinstance(action, actions.DeleteRoleBinding) for action in decision.actions):
            await self._take_rights(attempt, decision)
            return True
        for action in decision.actions:
            if isinstance(action, _CREATIONS) and self._guards.missing():
                # The guards went between two creations of one decision.
                return False
            if isinstance(action, actions.WriteStatus) and problem_with(attempt.session) is not None:
                self._denials.put(attempt.session, action)
                attempt.progress = replace(attempt.progress, written_elsewhere=True)
                continue
            outcome = await self._applier.apply(action, attempt.progress)
            attempt.progress = outcome.progress
            if outcome.job is not None:
                self._memory.see_job(outcome.job)
            if outcome.session is not None:
                self._memory.see_session(outcome.session)
                self._follow(attempt, outcome.session)
                if isinstance(action, actions.WriteStatus) and action.announcement is not None:
                    self._announce(outcome.session, action.announcement)
            if isinstance(action, actions.DeleteSession):
                self._memory.lose_session(attempt.session)
            if outcome.refusal is not None:
                if isinstance(action, actions.WriteStatus):
                    if action.announcement is not None and self._unstored.is_news(action):
                        self._announce(attempt.session, action.announcement)
                    self._unstored.take(attempt.session, action, outcome.refusal)
                attempt.refusal = outcome.refusal
                return False
            if outcome.stale:
                attempt.conflicts += 1
                await self._refresh(attempt, keep=isinstance(action, actions.WriteStatus))
                return False
        return True

    async def _take_rights(self, attempt: Attempt, decision: Decision) -> None:
        """Delete all RoleBindings side by side: one that cannot be deleted must not protect the others.

        Where one stays, the timer goes all the same: it takes the identity that the RoleBinding names.
        """
        progress = attempt.progress
        attempt.takes_rights = True
        done = await asyncio.gather(
            *(self._applier.apply(action, progress) for action in decision.actions), return_exceptions=True
        )
        failed = [error for error in done if isinstance(error, BaseException)]
        if not failed:
            attempt.progress = replace(progress, role_bindings_gone=True)
            self._memory.unfinished.rights_gone(attempt.session)
            return
        resort = last_resort(attempt.session)
        if resort is not None and not progress.timer_gone:
            attempt.progress = (await self._applier.apply(resort, progress)).progress
        raise failed[0]

    def _wrote_denial(self, session: TaskSession, outcome: Outcome) -> None:
        """Take in that the status of a session that cannot be read was written, or that there is a newer one."""
        if outcome.session is None:
            self._queue.add(key_of(session), NORMAL)
            return
        self._memory.see_session(outcome.session)
        _logger.info("session ended", extra=session_record(outcome.session, removed=False))
        self._forget(outcome.session)

    def _announce(self, session: TaskSession, announcement: actions.Announcement) -> None:
        """Tell of the session, and of what it means for a Job that its author created."""
        self._events.post(events.about_session(session), announcement)
        job = self._memory.job_of(session)
        if session.spec.task.job is not None and job is not None and belongs(session, job):
            self._events.post(events.about_job(job), announcement)

    def _follow(self, attempt: Attempt, session: TaskSession) -> None:
        """Go on with a newer view of the session, and tell what has become of it, whoever's write that was."""
        before, after = attempt.session.status.state, session.status.state
        attempt.take(session)
        if after is State.ACTIVE and before is not State.ACTIVE:
            self._attempts.granted(session.metadata.uid)
            fields = {
                "session": session.metadata.name,
                "namespace": session.metadata.namespace,
                "service_account": session.status.service_account_name,
            }
            _logger.info("session granted", extra=fields)
        if after.final and not before.final:
            if session.metadata.uid not in self._unstored:
                _logger.info("session ended", extra=session_record(session, removed=False))
            self._forget(session)
            self._wake_waiting(session.spec.policy)

    async def _refresh(self, attempt: Attempt, *, keep: bool) -> None:
        """Read session and Job again after a precondition failed; nothing of this attempt is relied on any more.

        `keep`: but where only labels, annotations or the like have changed: they decide nothing.
        """
        before = attempt.session
        metadata = before.metadata
        found = await self._client.find(paths.one("TaskSession", metadata.namespace, metadata.name))
        if found is None:
            self._memory.lose_session(attempt.session)
            return
        session = session_of(found)
        if not keep or not decides_alike(before, session):
            attempt.progress, attempt.review, attempt.refusal = Progress(), None, None
        self._memory.see_session(session)
        if session.metadata.uid != metadata.uid:
            self._memory.lose_session(attempt.session)
            return
        self._follow(attempt, session)
        name = job_name(session)
        if name is None:
            return
        job = await self._client.find(paths.one("Job", metadata.namespace, name))
        if job is None:
            known = self._memory.job_of(session)
            if known is not None:
                self._memory.lose_job(known)
            return
        self._memory.see_job(ObservedJob.from_object(job))

    def _superseded(self, attempt: Attempt, *, removed: bool) -> bool:
        """Whether the session was deleted, or replaced, while this attempt was under way."""
        if removed:
            return False
        key = key_of(attempt.session)
        known = self._memory.session(key)
        if known is None or known.metadata.uid != attempt.session.metadata.uid:
            self._queue.add(key, 0.0)
            return True
        if is_newer(known, attempt.session):
            self._follow(attempt, known)
        return False

    def arm_deadline(self, session: TaskSession) -> None:
        """Have the deadline called whatever becomes of this attempt."""
        if session.status.state is State.ACTIVE and session.status.deadline is not None:
            moment = self._client.clock.monotonic_at(session.status.deadline)
            if moment > time.monotonic():
                self._deadlines.arm(key_of(session), moment)

    def _gives_way(self, decision: Decision, attempt: Attempt) -> bool:
        """After rights are gone, let every other session's rights go before this one's remaining writes.

        Also where no other waits: an API server that has nothing else to do at that moment refuses the token sooner,
        and sessions that share a deadline do not disturb each other.
        """
        if not decision.urgent or self._queue.closed:
            return False
        if not any(isinstance(action, actions.DeleteRoleBinding) for action in decision.actions):
            return False
        self._attempts.hold(attempt)
        self._queue.add_later(key_of(attempt.session), _AFTER_RIGHTS_SECONDS)
        return True

    def _rest(self, session: TaskSession, decision: Decision) -> None:
        key = key_of(session)
        if decision.look_again is None:
            self._deadlines.disarm(key)
        else:
            self._deadlines.arm(key, self._client.clock.monotonic_at(decision.look_again))
        live = session.status.state is State.ACTIVE
        if is_ungranted(session) or self._denials.holds(session):
            look_again = decision.look_again
            left = (look_again - self._client.clock.now()).total_seconds() if look_again else LEAST_SECONDS
            self._pacing.rested(session, self._asked.get(session.metadata.uid), seconds=left)
        if live and session.metadata.uid in self._asked:
            # The policy's answers could not be had; the rights stay until they can, or until the deadline.
            self._queue.add_later(key, _RECHECK_SECONDS)

    def _forget(self, session: TaskSession) -> None:
        uid = session.metadata.uid
        self._memory.forget_end(session)
        self._memory.unfinished.forget(session)
        self._attempts.forget(uid)
        self._reviewer.settle(uid)
        self._pacing.forget(uid)
        self._unstored.forget(uid)
        self._asked.pop(uid, None)
        self._identity_missing.pop(uid, None)

    def _wake_waiting(self, policy: str) -> None:
        known = self._memory.policy(policy)
        if known is not None and known.spec.limits is None:
            return
        waiting = (
            session
            for session in self._memory.unfinished.of_policy(policy)
            if reason_of(session.status) == Reason.LIMIT_REACHED
        )
        oldest = sorted(waiting, key=lambda session: str(session.metadata.creation_timestamp))
        for session in oldest[:_WOKEN]:
            self._pacing.forget(session.metadata.uid)
            self._queue.add(key_of(session), NORMAL)


def failure_fields(key: Key, error: BaseException, delay: float) -> dict[str, Any]:
    """The log fields of an attempt that failed."""
    return {
        "session": key.name,
        "namespace": key.namespace,
        "error": f"{type(error).__name__}: {error}",
        "retry_in_seconds": round(delay, 2),
    }
