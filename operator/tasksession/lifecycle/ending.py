"""When and how a session ends: RoleBindings first, then the timer with all it owns, then the status.

`plan` calls these rules. An explicit no ends a session; a look-up that failed does not. Ending needs nothing but
names and uids, so that it never waits for an answer about anything else.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tasksession.api import names
from tasksession.api.conditions import Reason, State
from tasksession.api.partial import problem_with
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.actions import (
    Action,
    Announcement,
    DeleteRoleBinding,
    DeleteTimer,
    FindChildren,
    StopJob,
    WriteStatus,
)
from tasksession.lifecycle.decision import NOTHING, Decision
from tasksession.lifecycle.observed import STATUS, Child, JobEnd, JobOutcome, Observed, ObservedJob
from tasksession.lifecycle.status import ended
from tasksession.lifecycle.task_job import is_joined, outlives

#: StopJob sets this activeDeadlineSeconds.
STOPPING_SECONDS = 1
#: The Job controller's and our clock may differ by this much when it is asked whose deadline came first.
_CLOCK_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a session ends, in the words of its status."""

    state: State
    reason: Reason
    message: str


def reason_to_end(session: TaskSession, observed: Observed, now: datetime) -> Ending | None:
    """Find the first reason for which a live session has to end now, None while there is none."""
    job = session_job(session, observed)
    if job is not None and job.end is not None:
        ours = _reason_to_stop(session, observed) if was_stopped(session, job) else None
        return ours or _ending_of_job(job.end, session.status.deadline)
    if session.metadata.deletion_timestamp is not None:
        return _reason_to_stop(session, observed)
    if observed.refusal is not None:
        return Ending(
            State.FAILED,
            Reason.JOB_FAILED,
            f"The Job could not be released, something in the cluster changes it or forbids it: "
            f"{observed.refusal.message}",
        )
    if observed.namespace_ends:
        return Ending(State.FAILED, Reason.JOB_DELETED, "The namespace is being deleted, and the Job with it.")
    if session.spec.revoked:
        return _reason_to_stop(session, observed)
    if session.status.deadline is None:
        # Only a damaged status lacks it. Without a deadline there is no limit to hold, so the rights go.
        return Ending(State.EXPIRED, Reason.DEADLINE_REACHED, "The deadline is missing from the status.")
    if now >= session.status.deadline:
        return Ending(State.EXPIRED, Reason.DEADLINE_REACHED, "The deadline was reached before the Job ended.")
    if job is None:
        return Ending(State.FAILED, Reason.JOB_DELETED, "The Job was deleted before it ended.")
    return _reason_to_stop(session, observed)


def reason_to_give_up(session: TaskSession, observed: Observed) -> Ending | None:
    """Find a reason for which a session is not to be granted any more, whatever policy says; None without one."""
    if session.metadata.deletion_timestamp is not None:
        # Somebody's finalizer, or a dependent, may keep it for as long as they like.
        message = "The TaskSession was deleted before anything was granted."
        return Ending(State.REVOKED, Reason.SESSION_DELETED, message)
    if session.spec.revoked:
        return Ending(State.REVOKED, Reason.REVOKED, "spec.revoked was set before anything was granted.")
    refusal = observed.refusal
    if refusal is not None and refusal.object_kind == STATUS:
        message = f"The status of this TaskSession cannot be stored, create a smaller one: {refusal.message}"
        return Ending(State.DENIED, Reason.DENIED, message)
    return None


def _reason_to_stop(session: TaskSession, observed: Observed) -> Ending | None:
    """Find a reason to take the rights while the Job still runs, and so to stop it; None where there is none."""
    if session.metadata.deletion_timestamp is not None:
        return Ending(State.REVOKED, Reason.SESSION_DELETED, "The TaskSession is being deleted: the rights are gone.")
    if session.spec.revoked:
        return Ending(State.REVOKED, Reason.REVOKED, "spec.revoked was set: the rights are gone.")
    if observed.identity_missing:
        return Ending(State.FAILED, Reason.IDENTITY_REMOVED, observed.identity_missing)
    job = session_job(session, observed)
    if job is not None and job.problem is not None:
        return Ending(State.REVOKED, Reason.UNREADABLE, unreadable_job(job))
    return _ending_of_review(observed)


def was_stopped(session: TaskSession, job: ObservedJob) -> bool:
    """Whether a Job ended because an earlier step stopped it: its end is then our doing, and no reason of its own."""
    by_deadline = job.end is not None and job.end.reason == "DeadlineExceeded"
    authored = manifests.authored_deadline(session)
    return by_deadline and job.active_deadline_seconds == STOPPING_SECONDS and authored != STOPPING_SECONDS


def session_job(session: TaskSession, observed: Observed) -> ObservedJob | None:
    """Pick the Job that the session was granted to; one that is being deleted, or a namesake, is none."""
    job = observed.job
    reference = session.status.job_ref
    if job is None or (reference is not None and job.uid != reference.uid):
        return None
    if job.being_deleted and job.end is None:
        return None
    return job


def _ending_of_job(end_of_job: JobEnd, deadline: datetime | None) -> Ending:
    if end_of_job.outcome is JobOutcome.SUCCEEDED:
        return Ending(State.COMPLETED, Reason.COMPLETED, "The Job completed.")
    by_deadline = end_of_job.reason == "DeadlineExceeded"
    if by_deadline and deadline and end_of_job.time and end_of_job.time >= deadline - _CLOCK_TOLERANCE:
        return Ending(State.EXPIRED, Reason.DEADLINE_REACHED, "The deadline was reached before the Job ended.")
    detail = ": ".join(part for part in (end_of_job.reason, end_of_job.message) if part)
    return Ending(State.FAILED, Reason.JOB_FAILED, f"The Job failed ({detail})." if detail else "The Job failed.")


def _ending_of_review(observed: Observed) -> Ending | None:
    review = observed.review
    if review is None or review.failed is not None:
        return None
    if review.recheck is None or review.recheck.reason is None:
        return None
    return Ending(State.REVOKED, review.recheck.reason, review.recheck.message)


def end(session: TaskSession, observed: Observed, ending: Ending, now: datetime) -> Decision:
    """Take the rights away, and, once they are seen gone, everything else."""
    removal = _removal(session, observed)
    if removal.actions:
        return removal
    actions: list[Action] = []
    job = session_job(session, observed)
    stopping = ending.state is State.REVOKED or ending.reason is Reason.IDENTITY_REMOVED
    if ending.reason is Reason.DEADLINE_REACHED and job is not None:
        # The Job's own deadline is ours, unless it was started late, or its author set one that counts from then.
        stopping = outlives(job, session.status.deadline or now)
    if stopping and job is not None and job.end is None and not observed.progress.stopped:
        # A Job that its own deadline ends needs no help; one whose rights were taken early is stopped.
        actions.append(StopJob(namespace=job.namespace, name=job.name, uid=job.uid))
    actions.append(write(session, ending, now))
    return Decision(actions=tuple(actions))


def write(session: TaskSession, ending: Ending, now: datetime) -> WriteStatus:
    """Build the last status write of a session."""
    metadata = session.metadata
    good = ending.state is State.COMPLETED
    return WriteStatus(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        status=ended(session, state=ending.state, reason=ending.reason, message=ending.message, now=now),
        announcement=Announcement(warning=not good, reason=ending.reason.value, message=ending.message),
        forgets_field_managers=problem_with(session) is not None,
    )


def unreadable_job(job: ObservedJob) -> str:
    """Say, in words for its author, that a Job is not read."""
    return f"Job {job.name} is not read, because {job.problem}: create a smaller one, in a new session."


def end_unreadable(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """End a session that cannot be read, whatever may exist of it; what its status says is still known."""
    message = f"This TaskSession is not read, because {problem_with(session)}: create a smaller one."
    if session.status.state is State.ACTIVE:
        return end(session, observed, Ending(State.REVOKED, Reason.UNREADABLE, message), now)
    removal = remove_leftovers(session, observed)
    if removal.actions:
        return removal
    return Decision(actions=(write(session, Ending(State.DENIED, Reason.DENIED, message), now),))


def finish_ungranted(session: TaskSession, observed: Observed, ending: Ending, now: datetime) -> Decision:
    """End a session that was never granted, clearing away what an interrupted attempt may have made."""
    begun = observed.progress.timer_uid is not None or observed.left_rights
    if observed.job is not None or begun or is_joined(session):
        # What was made for a Job that joins hangs on the TaskSession, and stays where the Job went.
        removal = remove_leftovers(session, observed)
        if removal.actions:
            return removal
    return Decision(actions=(write(session, ending, now),))


def last_resort(session: TaskSession) -> DeleteTimer | None:
    """What to delete where a RoleBinding cannot be: the timer, and through it the identity that is bound."""
    name = session.status.service_account_name
    if name is None:
        return None
    return DeleteTimer(namespace=session.metadata.namespace, name=name, uid=session.status.timer_uid)


def remove_leftovers(session: TaskSession, observed: Observed) -> Decision:
    """Take away whatever exists of a session that is over or gone; no status is written."""
    if session.status.state is State.ACTIVE:
        return _removal(session, observed)
    progress = observed.progress
    if progress.found is None:
        metadata = session.metadata
        return Decision(actions=(FindChildren(namespace=metadata.namespace, session_uid=metadata.uid),), urgent=True)
    namespace = session.metadata.namespace
    bindings = _found_bindings(session, progress.found)
    if bindings and not progress.role_bindings_gone:
        return Decision(actions=bindings, urgent=True)
    timers = tuple(
        DeleteTimer(namespace=namespace, name=child.name, uid=child.uid)
        for child in progress.found
        if child.kind == "Job" and names.parse_identity(child.name)
    )
    return Decision(actions=timers) if timers and not progress.timer_gone else NOTHING


def take_back(session: TaskSession, observed: Observed) -> Decision | None:
    """Take the rights that a part of a grant has given, and leave the identity; None where there are none.

    An identity that stays is adopted once the session is granted after all: it is never made twice.
    """
    progress = observed.progress
    if progress.role_bindings_gone or not (progress.role_bindings_made or observed.left_rights):
        return None
    if progress.found is None:
        metadata = session.metadata
        return Decision(actions=(FindChildren(namespace=metadata.namespace, session_uid=metadata.uid),), urgent=True)
    bindings = _found_bindings(session, progress.found)
    return Decision(actions=bindings, urgent=True) if bindings else None


def _found_bindings(session: TaskSession, found: tuple[Child, ...]) -> tuple[DeleteRoleBinding, ...]:
    namespace = session.metadata.namespace
    return tuple(
        DeleteRoleBinding(namespace=namespace, name=child.name) for child in found if child.kind == "RoleBinding"
    )


def _removal(session: TaskSession, observed: Observed) -> Decision:
    """Remove what the status of a granted session names: RoleBindings, then the timer."""
    namespace = session.metadata.namespace
    if not observed.progress.role_bindings_gone:
        bindings = tuple(
            DeleteRoleBinding(namespace=namespace, name=grant.role_binding) for grant in session.status.grants
        )
        if bindings:
            return Decision(actions=bindings, urgent=True)
    timer = last_resort(session)
    return Decision(actions=(timer,)) if timer is not None and not observed.progress.timer_gone else NOTHING
