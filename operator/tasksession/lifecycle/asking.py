"""What an annotated Job asks for, and what is done about a Job that has no session of its own.

The engine calls `attend` for each Job that takes part in a session, beside `plan` for the session itself. It is as
level-triggered as `plan`, and as pure: a Job is asked for once, and one that ran is never asked for again.
"""

import json
from typing import Any

import yaml

from tasksession.api import names
from tasksession.api.conditions import Reason
from tasksession.api.session import TaskSession
from tasksession.lifecycle.actions import Action, Announcement, CreateSession, StopJob, TellJob
from tasksession.lifecycle.decision import NOTHING, Decision
from tasksession.lifecycle.ending import STOPPING_SECONDS, unreadable_job
from tasksession.lifecycle.manifests import Manifest, owner_reference
from tasksession.lifecycle.observed import ObservedJob, Refusal, RefusalKind

#: Admission accepts no longer annotation; it is checked again where guards were away when the Job was created.
ACCESS_LIMIT = 8192
_PROBLEM_LIMIT = 1024
#: spec.access is not nested deeper than a few levels, and the parser's time grows with the square of the depth.
_DEPTH_LIMIT = 16
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unusable(ValueError):
    """What an annotation says cannot be asked for; the message says why, and what to write instead."""


def attend(job: ObservedJob, session: TaskSession | None, refusal: Refusal | None = None) -> Decision:
    """Decide what a Job needs, `session` being the TaskSession of its name, or of the name that it joins.

    `refusal` is what the API server said to the TaskSession that this attempt tried to create.
    """
    if job.being_deleted or job.end is not None:
        return NOTHING
    if job.service_account is not None:
        return _stop_without_session(job, session)
    if job.problem is not None and session is None and (job.asks or job.session) is not None:
        return _tell(job, Reason.INVALID_JOB, unreadable_job(job))
    if job.asks is None:
        return NOTHING
    if job.session is not None:
        # Admission refuses it: it was created while the guards were away.
        message = f"The Job has both {names.POLICY_ANNOTATION} and {names.SESSION_ANNOTATION}: create it with one."
        return _tell(job, Reason.INVALID_JOB, message)
    if session is not None:
        return _beside(job, session)
    if refusal is None:
        return _act(CreateSession(manifest=_asked(job)))
    if refusal.kind is RefusalKind.INVALID and "spec." in refusal.message:
        return _act(CreateSession(manifest=_bare(job, refusal.message)))
    reason, message = Reason.API_ERROR, f"The TaskSession of this Job could not be created: {refusal.message}"
    if refusal.kind is RefusalKind.QUOTA:
        reason = Reason.QUOTA_EXCEEDED
        message = f"A ResourceQuota leaves no room for the TaskSession of this Job: {refusal.message}"
    return _tell(job, reason, message)


def is_unattended(job: ObservedJob, session: TaskSession | None) -> bool:
    """Whether `attend` has anything to do for a Job, told without reading what it asks for."""
    waiting = job.asks is not None and job.service_account is None and not job.being_deleted and job.end is None
    return (waiting and session is None) or bool(attend(job, session).actions)


def rejected(job: ObservedJob, refusal: Refusal) -> Decision:
    """Decide what to say where not even a TaskSession that only tells of the problem was accepted."""
    message = f"No TaskSession can be created for this Job, create another Job: {refusal.message}"
    return _tell(job, Reason.INVALID_JOB, message)


def is_bare(manifest: Any) -> bool:
    """Whether a manifest asks for nothing, and only tells of a problem."""
    return names.PROBLEM_ANNOTATION in manifest["metadata"].get("annotations", {})


def read_access(text: str) -> dict[str, Any]:
    """Read the annotation `access`: YAML, in the form of `spec.access`. Raises Unusable.

    Unknown fields and bounds are the API server's to refuse. Anchors are refused here: a few lines of them unfold to
    gigabytes. Tags are refused as well: what they make of a text is no JSON, or nothing at all. Whatever the parser
    trips over, it is this text's fault: nothing but Unusable leaves here.
    """
    if len(text) > ACCESS_LIMIT:
        raise Unusable(f"{names.ACCESS_ANNOTATION} is longer than {ACCESS_LIMIT} characters: ask for less")
    try:
        _check_tokens(text)
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, in C where there is one
        # What JSON cannot say (dates, sets, bytes), no TaskSession can hold.
        found = json.loads(json.dumps(found, allow_nan=False))
    except yaml.YAMLError as error:
        raise Unusable(f"{names.ACCESS_ANNOTATION} is not YAML: {_first_line(error)}") from error
    except Unusable:
        raise
    except Exception as error:
        # The parser raises whatever Python's own conversions do: KeyError, IndexError, AttributeError.
        problem = f"{type(error).__name__} {_first_line(error)}".rstrip()
        raise Unusable(f"{names.ACCESS_ANNOTATION} holds what spec.access cannot: {problem}") from error
    if not isinstance(found, dict):
        raise Unusable(f"{names.ACCESS_ANNOTATION} is no mapping: write roles, rules or both, as in spec.access")
    return found


def _check_tokens(text: str) -> None:
    """Stop reading at the first token that has no place here, before anything is built of the text."""
    depth = 0
    for token in yaml.scan(text, Loader=_Loader):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise Unusable(f"{names.ACCESS_ANNOTATION} has YAML anchors: write out what they stand for")
        if isinstance(token, yaml.TagToken | yaml.DirectiveToken):
            raise Unusable(f"{names.ACCESS_ANNOTATION} has YAML tags or directives: write plain lists and texts")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _DEPTH_LIMIT:
            raise Unusable(f"{names.ACCESS_ANNOTATION} is nested too deeply: write it as in spec.access")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _asked(job: ObservedJob) -> Manifest:
    """Build the TaskSession that the Job's annotations ask for, or one that says why they cannot be used."""
    request = job.asks
    assert request is not None  # noqa: S101 - the caller has seen it
    more: dict[str, Any] = {}
    if request.ttl is not None:
        more["ttl"] = request.ttl
    if request.reason is not None:
        more["reason"] = request.reason
    if request.access is not None:
        try:
            more["access"] = read_access(request.access)
        except Unusable as error:
            return _bare(job, str(error))
    return _manifest(job, request.policy, more, {})


def _bare(job: ObservedJob, problem: str) -> Manifest:
    request = job.asks
    assert request is not None  # noqa: S101 - the caller has seen it
    return _manifest(job, request.policy, {}, {names.PROBLEM_ANNOTATION: problem[:_PROBLEM_LIMIT]})


def _manifest(job: ObservedJob, policy: str, more: dict[str, Any], annotations: dict[str, str]) -> Manifest:
    metadata: dict[str, Any] = {
        "name": job.name,
        "namespace": job.namespace,
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
        "ownerReferences": [owner_reference("batch/v1", "Job", job.name, job.uid)],
    }
    if annotations:
        metadata["annotations"] = annotations
    requester = {
        "username": job.requested_by or "",
        "uid": job.requested_by_uid,
        "groups": list(job.requested_by_groups),
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TaskSession",
        "metadata": metadata,
        "spec": {"policy": policy, "task": {"job": {"name": job.name}}, "requester": requester, **more},
    }


def _stop_without_session(job: ObservedJob, session: TaskSession | None) -> Decision:
    """Stop a Job that was started for a session which is no more; what a TaskSession owns goes by itself."""
    of_template = job.asks is None and job.owner_kind == "TaskSession" and job.owner_name == job.session
    if of_template or job.active_deadline_seconds == STOPPING_SECONDS:
        return NOTHING
    reference = session.status.job_ref if session is not None else None
    if reference is not None and reference.uid == job.uid:
        return NOTHING
    return _act(StopJob(namespace=job.namespace, name=job.name, uid=job.uid))


def _beside(job: ObservedJob, session: TaskSession) -> Decision:
    """A TaskSession of the Job's name exists: its own, its dead namesake's, or somebody else's."""
    owner = session.metadata.controller
    if owner is not None and owner.kind == "Job" and owner.name == job.name:
        return NOTHING
    message = (
        f"A TaskSession {session.metadata.name} exists that was not made for this Job: delete it, "
        "or create the Job under another name."
    )
    return _tell(job, Reason.JOB_NOT_OURS, message)


def _tell(job: ObservedJob, reason: Reason, message: str) -> Decision:
    announcement = Announcement(warning=True, reason=reason.value, message=message)
    return _act(TellJob(namespace=job.namespace, name=job.name, uid=job.uid, announcement=announcement))


def _act(action: Action) -> Decision:
    return Decision(actions=(action,))
