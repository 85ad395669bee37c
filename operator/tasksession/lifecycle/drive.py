"""The loop around `plan`, without I/O: takes one session as far as it can go now, until nothing is left to do.

The engine runs it against the API server and the tests' state machine runs the same code against a model: it yields
requests, and is sent answers. It holds no truth: what it remembers in the session's case only spares repeated requests,
and a crash at any line is followed by the same questions again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import datetime

from tasksession.api.conditions import State
from tasksession.api.partial import is_cut, problem_with
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.case import Attempt, Case, decides_alike, is_newer, is_ungranted
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.ending import last_resort
from tasksession.lifecycle.key import key_of
from tasksession.lifecycle.observed import Observed, ObservedJob, Progress, Refusal, Review
from tasksession.lifecycle.plan import plan
from tasksession.lifecycle.requests import (
    Apply,
    ApplyTogether,
    AskPolicy,
    Outcome,
    Overtaken,
    Paused,
    ReadJob,
    ReadSession,
    Rested,
    Settled,
    Steps,
    WriteAside,
)
from tasksession.lifecycle.surroundings import Known, Telemetry
from tasksession.lifecycle.task_job import asking_job, is_joined, job_name

#: More steps than any life has; reaching it means that a decision does not lead to its own end.
_STEP_LIMIT = 100
#: How long the remaining writes of a session wait after its rights are gone.
_AFTER_RIGHTS_SECONDS = 0.25
#: How many writes of others one attempt bears before it leaves the session alone for a while.
_CONFLICTS = 1

_CREATIONS = (
    actions.CreateJob,
    actions.CreateTimer,
    actions.CreateServiceAccount,
    actions.CreateRole,
    actions.CreateRoleBinding,
)

Plan = Callable[[TaskSession, Observed, datetime], Decision]


class Unsettled(Exception):
    """A session did not come to rest within the step limit."""


class Unstorable(Exception):
    """A session is over, and the API server will not store the status that says so."""


class Drive:
    """One drive of one session; `removed`: its TaskSession is gone, and what is left of it has to go too."""

    def __init__(
        self, session: TaskSession, case: Case, known: Known, telemetry: Telemetry, *, removed: bool, plan: Plan = plan
    ) -> None:
        self._session = session
        self._case = case
        self._known = known
        self._telemetry = telemetry
        self._removed = removed
        self._plan = plan

    def steps(self) -> Steps[Settled]:
        """Go as far as possible. What a request is answered with by an error is raised, for a later drive to go on."""
        session, case = self._session, self._case
        # One that has rights to lose is never left alone.
        may_wait = is_ungranted(session) or case.has_taken_rights or self._known.is_denied_aside(session)
        pause = case.pause_left(self._facts(session), self._known.now()) if may_wait and not self._removed else 0.0
        if pause:
            return Paused(session, pause)
        attempt = self._resumed() or case.begin(session)
        try:
            return (yield from self._loop(attempt))
        except BaseException:
            case.fail(attempt, removed=self._removed)
            raise
        finally:
            case.leave(attempt, removed=self._removed)

    def _loop(self, attempt: Attempt) -> Steps[Settled]:
        for _ in range(_STEP_LIMIT):
            observed = yield from self._observe(attempt)
            decision = self._plan(attempt.session, observed, self._known.now())
            if decision.needs_review:
                yield from self._review(attempt)
            elif decision.actions:
                went_through = yield from self._apply(attempt, decision)
                pause = self._gives_way(attempt, decision) or self._backs_off(attempt)
                if pause is not None:
                    return pause
                if decision.rests and went_through:
                    return self._rest(attempt, decision)
            else:
                return self._rest(attempt, decision)
            if self._is_overtaken(attempt):
                return Overtaken(attempt.session)
        if is_ungranted(attempt.session):
            self._case.contended(self._facts(attempt.session), self._known.now())
        metadata = attempt.session.metadata
        raise Unsettled(f"TaskSession {metadata.namespace}/{metadata.name} does not come to rest")

    # What is seen

    def _resumed(self) -> Attempt | None:
        """Go on with the attempt that has begun to take the session's rights; None where there is none."""
        attempt = self._case.resume()
        if attempt is None:
            return None
        if is_newer(self._session, attempt.session):
            self._follow(attempt, self._session)
        if is_ungranted(attempt.session) and attempt.refusal is None:
            attempt.review = None
        return attempt

    def _facts(self, session: TaskSession) -> Hashable:
        """All that matters for what comes next and that an event may bring: not labels, not managedFields."""
        metadata, job = session.metadata, self._known.job_of(session)
        about_job: Hashable = None
        if job is not None:
            ended = job.end is not None
            about_job = job.uid, job.session, job.suspended, job.service_account, job.being_deleted, ended
        guards = self._known.guards_missing(), self._known.stamped_since()
        state, asked = session.status.state, self._case.asked
        return metadata.generation, metadata.deletion_timestamp, state, about_job, asked, guards

    def _observe(self, attempt: Attempt) -> Steps[Observed]:
        session, known, case = attempt.session, self._known, self._case
        job = known.job_of(session)
        if not self._removed and _is_doubtful(session, job):
            job = yield from self._read_job(session, job)
        elif not self._removed and job is not None and case.reads_job(attempt):
            attempt.job_read = True
            job = yield from self._read_job(session, job)
        return Observed(
            operator_username=known.operator_username,
            job=job,
            review=attempt.review,
            removed=self._removed,
            namespace_ends=known.namespace_ends(session.metadata.namespace),
            recheck_due=case.asked > 0,
            guards_missing=known.guards_missing(),
            stamped_since=known.stamped_since(),
            identity_missing=case.identity_missing,
            left_rights=case.left_rights,
            refusal=attempt.refusal,
            progress=attempt.progress,
        )

    def _read_job(self, session: TaskSession, seen: ObservedJob | None) -> Steps[ObservedJob | None]:
        reference = session.status.job_ref
        name = reference.name if reference else job_name(session)
        if name is None:
            return None
        job: ObservedJob | None = yield ReadJob(session.metadata.namespace, name)
        if job is None:
            if seen is not None:
                self._known.lose_job(seen)
            return None
        self._known.see_job(job)
        return job if reference is None or job.uid == reference.uid else None

    def _review(self, attempt: Attempt) -> Steps[None]:
        """Have the session reviewed; what was asked before is answered only by a review that lets it go on."""
        case = self._case
        asked = case.asked
        live = attempt.session.status.state is State.ACTIVE
        if is_cut(attempt.session) and not (yield from self._read_whole(attempt)):
            return
        review: Review = yield AskPolicy(attempt.session, live)
        attempt.review = review
        if review.goes_on and case.asked == asked:
            case.asked = 0

    def _read_whole(self, attempt: Attempt) -> Steps[bool]:
        """Read a session of which memory holds a part; False where it is another one, or none, by now."""
        metadata = attempt.session.metadata
        session: TaskSession | None = yield ReadSession(metadata.namespace, metadata.name, to_grant=True)
        if session is None or session.metadata.uid != metadata.uid:
            yield from self._refresh(attempt, keep=False)
            return False
        attempt.session = session
        return problem_with(session) is None

    def _refresh(self, attempt: Attempt, *, keep: bool) -> Steps[None]:
        """Read session and Job again after a precondition failed; nothing of this attempt is relied on any more.

        `keep`: but where only labels, annotations or the like have changed: they decide nothing.
        """
        known, before = self._known, attempt.session
        metadata = before.metadata
        session: TaskSession | None = yield ReadSession(metadata.namespace, metadata.name)
        if session is None:
            known.lose_session(before)
            return
        if not keep or not decides_alike(before, session):
            attempt.progress, attempt.review, attempt.refusal = Progress(), None, None
        known.see_session(session)
        if session.metadata.uid != metadata.uid:
            known.lose_session(before)
            return
        self._follow(attempt, session)
        name = job_name(session)
        if name is None:
            return
        job: ObservedJob | None = yield ReadJob(metadata.namespace, name)
        if job is not None:
            known.see_job(job)
            return
        seen = known.job_of(session)
        if seen is not None:
            known.lose_job(seen)

    def _follow(self, attempt: Attempt, session: TaskSession) -> None:
        """Go on with a newer view of the session, and tell what has become of it, whoever's write that was."""
        before, after = attempt.session.status.state, session.status.state
        attempt.take(session)
        if after is State.ACTIVE and before is not State.ACTIVE:
            attempt.takes_rights = False
            self._case.granted()
            self._telemetry.granted(session)
        if after.final and not before.final:
            self._telemetry.ended(session, recorded=self._case.recorded)
            self._case.ended()
            self._known.over(session)

    def _is_overtaken(self, attempt: Attempt) -> bool:
        if self._removed:
            return False
        seen = self._known.session(key_of(attempt.session))
        if seen is None or seen.metadata.uid != attempt.session.metadata.uid:
            return True
        if is_newer(seen, attempt.session):
            self._follow(attempt, seen)
        return False

    # What is done

    def _apply(self, attempt: Attempt, decision: Decision) -> Steps[bool]:
        """Carry out a decision's actions in order; False where one was refused or no longer meets what it was for."""
        if any(isinstance(action, _CREATIONS) for action in decision.actions):
            attempt.refusal = None
        if all(isinstance(action, actions.DeleteRoleBinding) for action in decision.actions):
            yield from self._take_rights(attempt, decision)
            return True
        for action in decision.actions:
            if isinstance(action, _CREATIONS) and self._known.guards_missing():
                # The guards went between two creations of one decision.
                return False
            if isinstance(action, actions.WriteStatus) and problem_with(attempt.session) is not None:
                yield WriteAside(attempt.session, action)
                attempt.progress = replace(attempt.progress, written_elsewhere=True)
                continue
            outcome: Outcome = yield Apply(action, attempt.progress)
            self._take(attempt, action, outcome)
            if outcome.refusal is not None:
                return False
            if outcome.stale:
                attempt.conflicts += 1
                yield from self._refresh(attempt, keep=isinstance(action, actions.WriteStatus))
                return False
        return True

    def _take(self, attempt: Attempt, action: actions.Action, outcome: Outcome) -> None:
        attempt.progress = outcome.progress
        if isinstance(action, actions.FindChildren):
            # Where there is none, none has to go.
            found = outcome.progress.found or ()
            gone = not any(child.kind == "RoleBinding" for child in found)
            attempt.progress = replace(outcome.progress, role_bindings_gone=gone)
        if outcome.job is not None:
            self._known.see_job(outcome.job)
        if outcome.session is not None:
            self._known.see_session(outcome.session)
            self._follow(attempt, outcome.session)
            if isinstance(action, actions.WriteStatus) and action.announcement is not None:
                self._telemetry.announced(outcome.session, action.announcement)
        if isinstance(action, actions.DeleteSession):
            self._known.lose_session(attempt.session)
        if outcome.refusal is not None:
            attempt.refusal = outcome.refusal
            if isinstance(action, actions.WriteStatus):
                self._cannot_store(attempt.session, action, outcome.refusal)

    def _cannot_store(self, session: TaskSession, action: actions.WriteStatus, refusal: Refusal) -> None:
        """Tell of a status that is refused. Raises Unstorable for a last one, which is tried again, ever more seldom.

        A grant whose status is not stored is taken back: nobody could see it, nor end it after a restart.
        """
        final = action.status.state.final
        if not (final and self._case.recorded):
            self._case.recorded = final
            self._telemetry.refused_status(session, action, refusal)
        if final:
            raise Unstorable(f"the status of TaskSession {action.namespace}/{action.name}: {refusal.message}")

    def _take_rights(self, attempt: Attempt, decision: Decision) -> Steps[None]:
        """Delete all RoleBindings side by side: one that cannot be deleted must not protect the others.

        Where one stays, the timer goes all the same: it takes the identity that the RoleBinding names.
        """
        progress = attempt.progress
        attempt.takes_rights = True
        failed: tuple[BaseException, ...] = yield ApplyTogether(decision.actions, progress)
        if not failed:
            attempt.progress = replace(progress, role_bindings_gone=True)
            self._known.rights_gone(attempt.session)
            return
        resort = last_resort(attempt.session)
        if resort is not None and not progress.timer_gone:
            outcome: Outcome = yield Apply(resort, progress)
            attempt.progress = outcome.progress
        raise failed[0]

    # How it ends

    def _gives_way(self, attempt: Attempt, decision: Decision) -> Paused | None:
        """After rights are gone, let every other session's rights go before this one's remaining writes.

        Also where no other waits: an API server that has nothing else to do at that moment refuses the token sooner,
        and sessions that share a deadline do not disturb each other.
        """
        took = any(isinstance(action, actions.DeleteRoleBinding) for action in decision.actions)
        if not (decision.urgent and took):
            return None
        self._case.held = attempt
        return Paused(attempt.session, _AFTER_RIGHTS_SECONDS)

    def _backs_off(self, attempt: Attempt) -> Paused | None:
        """Leave a session alone for a while of which others' writes were in the way too often."""
        if attempt.conflicts <= _CONFLICTS:
            return None
        session, attempt.conflicts = attempt.session, 0
        seconds = self._case.contended(self._facts(session), self._known.now())
        self._telemetry.contended(session, seconds)
        self._case.fail(attempt, removed=False)
        return Paused(session, seconds)

    def _rest(self, attempt: Attempt, decision: Decision) -> Rested:
        session, now = attempt.session, self._known.now()
        if is_ungranted(session) or self._known.is_denied_aside(session):
            seconds = (decision.look_again - now).total_seconds() if decision.look_again else float("inf")
            self._case.rested(self._facts(session), now, seconds=seconds)
        return Rested(session, decision)


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
