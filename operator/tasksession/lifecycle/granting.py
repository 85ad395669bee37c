"""From a fresh TaskSession to a running Job: verdict, Job, timer, identity, rights, status, release, in this order.

`plan` calls `grant` for sessions that are not granted and `release` for those that are. Nothing is created before
policy said yes, and every step may be repeated. These rules must never grant on a missing, failed or stale answer.
"""

from datetime import datetime
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
from tasksession.lifecycle.ending import Ending, finish_ungranted
from tasksession.lifecycle.observed import Observed, ObservedJob, RefusalKind
from tasksession.lifecycle.waiting import give_up, wait
from tasksession.policy.evaluation import Verdict
from tasksession.policy.terms import deadline_of, effective_access


def grant(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Decide the next step of a session that is not granted yet."""
    if session.spec.revoked:
        ending = Ending(State.REVOKED, Reason.REVOKED, "spec.revoked was set before anything was granted.")
        return finish_ungranted(session, observed, ending, now)
    review = observed.review
    if review is None:
        return Decision(needs_review=True)
    if observed.guards_missing:
        missing = ", ".join(observed.guards_missing[:5])
        return wait(
            session,
            observed,
            now,
            reason=Reason.GUARDS_MISSING,
            message=f"Guards are missing or weakened ({missing}): nothing is granted until they are installed again.",
        )
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


def _grant_to_job(
    session: TaskSession, observed: Observed, policy: SessionPolicy, deadline: datetime, now: datetime
) -> Decision:
    refused = _after_refusal(session, observed, deadline, now)
    if refused is not None:
        return refused
    template = session.spec.task.job_template
    problem = (
        "This version grants to spec.task.jobTemplate only."
        if template is None
        else _job_problem(session, deadline, now)
    )
    if problem:
        return finish_ungranted(session, observed, Ending(State.DENIED, Reason.INVALID_JOB, problem), now)
    job = observed.job
    if job is None and observed.progress.timer_uid is not None:
        # What this attempt has made hangs on a Job that is gone: it must never be taken for a new Job's.
        ending = Ending(State.FAILED, Reason.JOB_DELETED, "The Job was deleted before it could start.")
        return finish_ungranted(session, observed, ending, now)
    if job is None:
        return Decision(actions=(CreateJob(manifest=manifests.job(session)),))
    if job.owner_uid != session.metadata.uid or job.requested_by != observed.operator_username:
        return _foreign_job(session, observed, job, deadline, now)
    if job.being_deleted or job.end is not None:
        ending = Ending(State.FAILED, Reason.JOB_DELETED, "The Job was deleted before it could start.")
        if job.end is not None:
            ending = Ending(State.FAILED, Reason.JOB_FAILED, "The Job ended before it was released.")
        return finish_ungranted(session, observed, ending, now)
    return _make_children(session, observed, policy, job, deadline, now)


def _make_children(
    session: TaskSession,
    observed: Observed,
    policy: SessionPolicy,
    job: ObservedJob,
    deadline: datetime,
    now: datetime,
) -> Decision:
    """Create what is not there yet, one owner before what it owns, and end with the status and the release."""
    progress = observed.progress
    identity = names.Identity(job.uid, int(deadline.timestamp()))
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
        if name not in progress.role_binding_uids
    )
    if missing:
        return Decision(actions=missing)
    verdict = observed.review.verdict if observed.review else None
    assert verdict is not None  # noqa: S101 - the caller has seen it
    grants = tuple(
        Grant(
            role=reference,
            role_binding=name,
            role_binding_uid=progress.role_binding_uids[name],
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
    seconds = None if manifests.authored_deadline(session) else manifests.seconds_until(deadline, now)
    action = ReleaseJob(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        service_account=identity,
        active_deadline_seconds=seconds,
    )
    return Decision(actions=(action,), look_again=deadline)


def _job_problem(session: TaskSession, deadline: datetime, now: datetime) -> str | None:
    problem = manifests.job_problem(session)
    if problem:
        return problem
    authored = manifests.authored_deadline(session)
    left = manifests.seconds_until(deadline, now)
    if authored is not None and authored > left:
        return (
            f"The Job's activeDeadlineSeconds is {authored} and the session has {left} seconds left: "
            "leave it out, or make it smaller than the ttl."
        )
    return None


def _foreign_job(
    session: TaskSession, observed: Observed, job: ObservedJob, deadline: datetime, now: datetime
) -> Decision:
    if (
        job.owner_kind == "TaskSession"
        and job.owner_name == session.metadata.name
        and (job.owner_uid != session.metadata.uid)
    ):
        message = f"Job {job.name} of an earlier TaskSession of this name is still being deleted."
        return wait(session, observed, now, reason=Reason.JOB_NOT_FOUND, message=message, deadline=deadline)
    message = f"A Job {job.name} exists that this session did not create: delete it, or name the TaskSession otherwise."
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
