"""From a fresh TaskSession to a running Job: verdict, Job, timer, identity, rights, status, release, in this order.

`plan` calls `grant` for sessions that are not granted and `release` for those that are. Nothing is created before
policy said yes, and every step may be repeated. These rules must never grant on a missing, failed or stale answer.
"""

from datetime import datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.conditions import Reason, State
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import Grant, JobReference, PolicyReference, TaskSession
from tasksession.lifecycle import manifests, status
from tasksession.lifecycle.actions import (
    Announcement,
    CreateJob,
    CreateRole,
    CreateRoleBinding,
    CreateServiceAccount,
    CreateTimer,
    ReleaseJob,
    WriteStatus,
)
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.ending import Ending, finish_ungranted, unreadable_job
from tasksession.lifecycle.observed import Observed, ObservedJob, Progress, RefusalKind
from tasksession.lifecycle.task_job import (
    asking_job,
    deadline_problem,
    is_joined,
    job_name,
    seconds_until,
    was_released,
    why_not_ours,
)
from tasksession.lifecycle.waiting import give_up, wait
from tasksession.policy.evaluation import Verdict
from tasksession.policy.terms import deadline_of, effective_access

#: Policies come into force within a second of their creation, and creation times are cut to whole seconds.
_STAMPING_BEGINS = timedelta(seconds=2)
#: How soon a Job whose release has to wait for the guards is looked at again.
_GUARDS_SECONDS = timedelta(seconds=2)


def grant(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Decide the next step of a session that is not granted yet."""
    problem = session.metadata.annotations.get(names.PROBLEM_ANNOTATION)
    if problem and asking_job(session) is not None:
        ending = Ending(State.DENIED, Reason.INVALID_JOB, f"The Job's annotations cannot be used: {problem}")
        return finish_ungranted(session, observed, ending, now)
    audiences = session.spec.token.audiences if session.spec.token is not None else None
    if audiences:
        message = "This version has no tokens for other audiences: create a TaskSession without spec.token.audiences."
        return finish_ungranted(session, observed, Ending(State.DENIED, Reason.DENIED, message), now)
    if observed.guards_missing:
        missing = ", ".join(observed.guards_missing[:5])
        return wait(
            session,
            observed,
            now,
            reason=Reason.GUARDS_MISSING,
            message=f"Guards are missing or weakened ({missing}): nothing is granted until they are installed again.",
        )
    if observed.stamped_since is None:
        message = "Since when the guards that stamp who asks are in force is not known: nothing is granted until it is."
        return wait(session, observed, now, reason=Reason.GUARDS_MISSING, message=message)
    if _is_unstamped(session.metadata.creation_timestamp, observed):
        return _unstamped(session, observed, "This TaskSession", now)
    review = observed.review
    if review is None:
        return _still_without_job(session, observed, now) or Decision(needs_review=True)
    if review.failed is not None:
        return wait(session, observed, now, reason=Reason.API_ERROR, message=review.failed)
    policy, verdict = review.policy, review.verdict
    if policy is None or verdict is None:
        message = f"SessionPolicy {session.spec.policy} does not exist: create it, or ask for one that does."
        return wait(session, observed, now, reason=Reason.POLICY_NOT_FOUND, message=message)
    created = session.metadata.creation_timestamp or now
    deadline = deadline_of(session, policy, basis=created)
    if not verdict.allowed:
        return _refuse_orwait(session, observed, verdict, deadline, now)
    if now >= deadline:
        return give_up(session, observed, now)
    return _grant_to_job(session, observed, policy, deadline, now)


def _still_without_job(session: TaskSession, observed: Observed, now: datetime) -> Decision | None:
    """Go on waiting for the Job that joins, without another review: it would change nothing before that Job is there.

    A policy that changed meanwhile asks for a review, as the Job does when it comes.
    """
    known = session.status
    waits = status.reason_of(known) == Reason.JOB_NOT_FOUND and known.deadline is not None
    if not waits or observed.recheck_due or observed.job is not None or not is_joined(session):
        return None
    message = status.message_of(known) or ""
    return wait(session, observed, now, reason=Reason.JOB_NOT_FOUND, message=message, deadline=known.deadline)


def _grant_to_job(
    session: TaskSession, observed: Observed, policy: SessionPolicy, deadline: datetime, now: datetime
) -> Decision:
    refused = _after_refusal(session, observed, deadline, now)
    if refused is not None:
        return refused
    name = job_name(session)
    if name is None:
        ending = Ending(
            State.DENIED, Reason.INVALID_JOB, "This version grants to Jobs only, not to spec.task.external."
        )
        return finish_ungranted(session, observed, ending, now)
    job = observed.job
    if _made_for_another(observed, job):
        # What was made is the identity of a Job that is gone: it must not stay, and is never a new Job's.
        ending = Ending(State.FAILED, Reason.JOB_DELETED, "The Job was deleted before it could start.")
        return finish_ungranted(session, observed, ending, now)
    if job is None or (job.being_deleted and is_joined(session)):
        return _without_job(session, observed, name, deadline, now)
    if job.problem is not None and not job.being_deleted:
        return finish_ungranted(session, observed, Ending(State.DENIED, Reason.INVALID_JOB, unreadable_job(job)), now)
    foreign = why_not_ours(session, job, operator_username=observed.operator_username)
    if foreign is not None:
        return _foreign_job(session, observed, job, foreign, deadline, now)
    if _is_unstamped(job.created, observed):
        return _unstamped(session, observed, f"Job {job.name}", now)
    if job.being_deleted or job.end is not None:
        ending = Ending(State.FAILED, Reason.JOB_DELETED, "The Job was deleted before it could start.")
        if job.end is not None:
            ending = Ending(State.FAILED, Reason.JOB_FAILED, "The Job ended before it was released.")
        return finish_ungranted(session, observed, ending, now)
    if was_released(job):
        message = f"Job {job.name} has been started before, and a Job runs in one session only: create a new Job."
        return finish_ungranted(session, observed, Ending(State.DENIED, Reason.INVALID_JOB, message), now)
    problem = deadline_problem(job.active_deadline_seconds, deadline, now)
    if problem:
        return finish_ungranted(session, observed, Ending(State.DENIED, Reason.INVALID_JOB, problem), now)
    return _make_children(session, observed, policy, job, deadline, now)


def _made_for_another(observed: Observed, job: ObservedJob | None) -> bool:
    """Whether this attempt has begun to grant to a Job that is not there any more."""
    progress = observed.progress
    if job is None or progress.timer_uid is None:
        return progress.timer_uid is not None
    made = names.parse_identity(progress.identity or "")
    return made is not None and made.uid != job.uid


def _make_children(
    session: TaskSession,
    observed: Observed,
    policy: SessionPolicy,
    job: ObservedJob,
    deadline: datetime,
    now: datetime,
) -> Decision:
    """Create what is not there yet, one owner before what it owns, and end with the status and the release."""
    identity = names.Identity(job.uid, int(deadline.timestamp()))
    progress = observed.progress
    if progress.identity != identity.name or progress.found is not None:
        # What was made for another Job or another deadline is another identity's; what was looked for is being removed.
        progress = Progress()
    access = effective_access(session, policy)
    assert access is not None  # noqa: S101 - a verdict that allows has an access; nothing is granted without
    if progress.timer_uid is None:
        return Decision(actions=(CreateTimer(manifest=manifests.timer(session, job, identity, now)),))
    timer_uid = progress.timer_uid
    if progress.service_account_uid is None:
        return Decision(
            actions=(CreateServiceAccount(manifest=manifests.service_account(session, identity, timer_uid)),)
        )
    if access.rules and not progress.role_made:
        return Decision(actions=(CreateRole(manifest=manifests.role(session, identity, timer_uid, access.rules)),))
    bindings = manifests.role_bindings(identity, access)
    missing = tuple(
        CreateRoleBinding(manifest=manifests.role_binding(session, identity, timer_uid, name, reference))
        for name, reference in bindings
        if name not in progress.role_bindings_made
    )
    if missing:
        return Decision(actions=missing)
    verdict = observed.review.verdict if observed.review else None
    assert verdict is not None  # noqa: S101 - the caller has seen it
    grants = tuple(
        Grant(
            role=reference,
            role_binding=name,
            rules_hash=verdict.rules_hashes[reference],
        )
        for name, reference in bindings
    )
    until = deadline.strftime("%Y-%m-%dT%H:%M:%SZ")
    message = f"The rights are live until {until} or the end of Job {job.name}, whichever comes first."
    facts: dict[str, Any] = {
        "task": f"Job/{job.name}",
        "deadline": deadline,
        "service_account_name": identity.name,
        "service_account_uid": progress.service_account_uid,
        "timer_uid": timer_uid,
        "job_ref": JobReference(name=job.name, uid=job.uid),
        "policy_ref": PolicyReference(
            name=policy.metadata.name, uid=policy.metadata.uid, generation=policy.metadata.generation
        ),
    }
    metadata = session.metadata
    return Decision(
        actions=(
            WriteStatus(
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                resource_version=metadata.resource_version,
                status=status.granted(session, message=message, now=now, grants=grants, facts=facts),
                announcement=Announcement(warning=False, reason=Reason.GRANTED.value, message=message),
            ),
        )
    )


def release(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Let the Job of a granted session start, if it has not; else only watch the deadline."""
    job = observed.job
    deadline = session.status.deadline
    identity = session.status.service_account_name
    if job is None or deadline is None or identity is None:
        return Decision(look_again=deadline)
    if not job.suspended and job.service_account == identity:
        return Decision(look_again=deadline)
    if observed.guards_missing:
        # Without them its pods would run as somebody else, or somebody else's pods as the session.
        return Decision(look_again=min(deadline, now + _GUARDS_SECONDS))
    left = seconds_until(deadline, now)
    authored = job.active_deadline_seconds
    # What its author set stays, so that the same manifest can be applied again, unless the release comes too late.
    seconds = None if authored is not None and authored <= left else left
    action = ReleaseJob(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        service_account=identity,
        active_deadline_seconds=seconds,
    )
    return Decision(actions=(action,), look_again=deadline)


def _is_unstamped(created: datetime | None, observed: Observed) -> bool:
    since = observed.stamped_since
    return created is not None and since is not None and created < since + _STAMPING_BEGINS


def _unstamped(session: TaskSession, observed: Observed, what: str, now: datetime) -> Decision:
    message = (
        f"{what} was created while the guards that stamp who asks were not in force, so nobody knows who did: "
        "create it again."
    )
    return finish_ungranted(session, observed, Ending(State.DENIED, Reason.DENIED, message), now)


def _without_job(session: TaskSession, observed: Observed, name: str, deadline: datetime, now: datetime) -> Decision:
    """Create the Job, or wait for it; the Job that a session was made for can only have been deleted."""
    if asking_job(session) is not None:
        ending = Ending(State.FAILED, Reason.JOB_DELETED, "The Job was deleted before it could start.")
        return finish_ungranted(session, observed, ending, now)
    if session.spec.task.job_template is not None:
        authored = manifests.authored_deadline(session)
        problem = manifests.job_problem(session) or deadline_problem(authored, deadline, now)
        if problem:
            return finish_ungranted(session, observed, Ending(State.DENIED, Reason.INVALID_JOB, problem), now)
        return Decision(actions=(CreateJob(manifest=manifests.job(session)),))
    message = (
        f"There is no Job {name} that joins this session: create it with the annotation "
        f"{names.SESSION_ANNOTATION}: {session.metadata.name}."
    )
    return wait(session, observed, now, reason=Reason.JOB_NOT_FOUND, message=message, deadline=deadline)


def _foreign_job(
    session: TaskSession, observed: Observed, job: ObservedJob, message: str, deadline: datetime, now: datetime
) -> Decision:
    of_predecessor = (
        session.spec.task.job_template is not None
        and job.owner_kind == "TaskSession"
        and job.owner_name == session.metadata.name
        and job.owner_uid != session.metadata.uid
    )
    if of_predecessor:
        message = f"Job {job.name} of an earlier TaskSession of this name is still being deleted."
        return wait(session, observed, now, reason=Reason.JOB_NOT_FOUND, message=message, deadline=deadline)
    if asking_job(session) not in (None, job.uid):
        return _without_job(session, observed, job.name, deadline, now)
    return finish_ungranted(session, observed, Ending(State.DENIED, Reason.JOB_NOT_OURS, message), now)


def _after_refusal(session: TaskSession, observed: Observed, deadline: datetime, now: datetime) -> Decision | None:
    """Decide what a refused write means: final where the object is at fault, a wait where it may pass."""
    refusal = observed.refusal
    if refusal is None:
        return None
    if refusal.kind is RefusalKind.QUOTA:
        message = f"A ResourceQuota leaves no room for the {refusal.object_kind}: {refusal.message}"
        return wait(session, observed, now, reason=Reason.QUOTA_EXCEEDED, message=message, deadline=deadline)
    if refusal.kind is RefusalKind.FORBIDDEN:
        message = f"The operator may not create the {refusal.object_kind}: {refusal.message}"
        return wait(session, observed, now, reason=Reason.API_ERROR, message=message, deadline=deadline)
    reason = Reason.DENIED
    message = f"The {refusal.object_kind} could not be created: {refusal.message}"
    if refusal.kind is RefusalKind.INVALID and refusal.object_kind == "Job":
        reason = Reason.INVALID_JOB
        message = f"The Job could not be created, mend spec.task.jobTemplate: {refusal.message}"
    if refusal.kind is RefusalKind.CEILING:
        message = f"The operator itself may not grant this (its ceiling is set at installation): {refusal.message}"
    return finish_ungranted(session, observed, Ending(State.DENIED, reason, message), now)


def _refuse_orwait(
    session: TaskSession, observed: Observed, verdict: Verdict, deadline: datetime, now: datetime
) -> Decision:
    if verdict.denials:
        message = " ".join(denial.message for denial in verdict.denials)
        return finish_ungranted(session, observed, Ending(State.DENIED, Reason.DENIED, message), now)
    reason = verdict.waits[0].reason if verdict.waits else Reason.API_ERROR
    message = " ".join(wait.message for wait in verdict.waits) or "The policy gave no answer."
    limit = None if reason == Reason.AWAITING_APPROVAL else deadline
    return wait(session, observed, now, reason=reason, message=message, deadline=limit)
