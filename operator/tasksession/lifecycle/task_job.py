"""The Job that a session is for: what it is called, whose it is, and what stands against it.

A session makes its Job (`jobTemplate`), was made for a Job (an annotated one, which owns it), or is joined by one.
The granting and ending rules and the engine ask here. It must never take a Job for a session's by its name alone.
"""

import math
from datetime import datetime, timedelta

from tasksession.api import names
from tasksession.api.durations import LONGEST_TTL
from tasksession.api.session import TaskSession
from tasksession.lifecycle.observed import ObservedJob

#: No session lasts longer, in seconds.
_LONGEST_SECONDS = int(LONGEST_TTL.total_seconds())
#: The Job controller may take a released Job up this much later, and it cuts moments to whole seconds.
_START_TOLERANCE = timedelta(seconds=2)


def job_name(session: TaskSession) -> str | None:
    """Name the Job of a session; None where its task is no Job."""
    task = session.spec.task
    if task.job is not None:
        return task.job.name
    return session.metadata.name if task.job_template is not None else None


def asking_job(session: TaskSession) -> str | None:
    """The uid of the annotated Job that a session was made for and goes with; None for every other session."""
    owner = session.metadata.controller
    return owner.uid if owner is not None and (owner.api_version, owner.kind) == ("batch/v1", "Job") else None


def is_joined(session: TaskSession) -> bool:
    """Whether a Job that somebody else creates is to join the session."""
    return session.spec.task.job is not None and asking_job(session) is None


def belongs(session: TaskSession, job: ObservedJob) -> bool:
    """Whether a Job is, by its owner or its annotations, the one that the session is for."""
    owner = asking_job(session)
    if owner is not None:
        return job.uid == owner
    if is_joined(session):
        return (
            job.name == job_name(session) and job.session == session.metadata.name and job.owner_kind != "TaskSession"
        )
    return job.owner_uid == session.metadata.uid


def why_not_ours(session: TaskSession, job: ObservedJob, *, operator_username: str) -> str | None:
    """Say why a Job is not the session's, in words for its requester; None where it is."""
    requester = session.spec.requester
    if session.spec.task.job_template is not None:
        if belongs(session, job) and job.requested_by == operator_username:
            return None
        return (
            f"A Job {job.name} exists that this session did not create: delete it and create a new TaskSession, "
            "or create the TaskSession under another name."
        )
    stamped = (job.requested_by, job.requested_by_uid)
    same_requester = requester is not None and stamped == (requester.username, requester.uid)
    if asking_job(session) is not None:
        asked = job.asks.policy if job.asks else None
        if belongs(session, job) and same_requester and asked == session.spec.policy:
            return None
        return f"Job {job.name} is not the one that this session was made for: delete the TaskSession."
    if not belongs(session, job):
        return (
            f"Job {job.name} does not belong to this session: annotate it with "
            f"{names.SESSION_ANNOTATION}: {session.metadata.name} when it is created, and with nothing else of ours. "
            "Create a new TaskSession and a new Job."
        )
    if not same_requester:
        return (
            f"Job {job.name} was created by {job.requested_by}, and this session was asked for by "
            f"{requester.username if requester else 'nobody'}. Create both anew, as the same user."
        )
    return None


def was_released(job: ObservedJob) -> bool:
    """Whether a Job has been started once: then no session may be granted to it any more."""
    return job.service_account is not None or not job.suspended


def outlives(job: ObservedJob, deadline: datetime) -> bool:
    """Whether a Job, left alone, would run on after the deadline."""
    if job.end is not None or job.suspended:
        return False
    if job.active_deadline_seconds is None or job.started is None:
        return True
    if job.active_deadline_seconds > _LONGEST_SECONDS:
        # An author may write a number that no date is so far away.
        return True
    return job.started + timedelta(seconds=job.active_deadline_seconds) > deadline + _START_TOLERANCE


def seconds_until(deadline: datetime, now: datetime) -> int:
    """Whole seconds left, at least 1, such that a Job started now is not ended before the deadline.

    The Job controller counts from a start time that is cut to whole seconds, and deadlines are whole seconds:
    rounding up therefore lands on the deadline itself.
    """
    return max(1, math.ceil((deadline - now).total_seconds()))


def deadline_problem(authored: int | None, deadline: datetime, now: datetime) -> str | None:
    """Say what is wrong with the `activeDeadlineSeconds` that a Job's author set; None where it may stay."""
    left = seconds_until(deadline, now)
    if authored is None or authored <= left:
        return None
    return (
        f"The Job's activeDeadlineSeconds is {authored} and the session has {left} seconds left: "
        "leave it out, or set fewer seconds than are left when the Job starts, and create both anew."
    )
