"""What the operator has seen of the world around one session: the input of `plan`.

The engine builds these values from watch events, look-ups and the outcomes of actions. They are plain facts:
nothing here decides anything, and what was not looked at is None, never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tasksession.api import names
from tasksession.api.fragment import problem_of
from tasksession.api.interning import intern
from tasksession.api.policy import SessionPolicy
from tasksession.policy.evaluation import Recheck, Verdict


class JobOutcome(StrEnum):
    """How a Job ended, by its first ending condition."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


#: A Job is over at the first of these; Complete and Failed follow only once its pods have terminated.
_ENDING_CONDITIONS = {
    "SuccessCriteriaMet": JobOutcome.SUCCEEDED,
    "Complete": JobOutcome.SUCCEEDED,
    "FailureTarget": JobOutcome.FAILED,
    "Failed": JobOutcome.FAILED,
}


#: No annotation of ours, and no message, is used that is longer than this.
_LONGEST_TEXT = 8192


#: One more character than the longest name has.
_LONGEST_NAME = 254


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The first ending condition of a Job: outcome, the controller's reason and message, and when it was set."""

    outcome: JobOutcome
    reason: str
    message: str
    time: datetime | None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What an annotated Job asks for, in its author's words: none of it has been read yet."""

    policy: str
    ttl: str | None
    reason: str | None
    access: str | None


@dataclass(frozen=True, slots=True)
class ObservedJob:
    """The parts of a batch/v1 Job that decisions are made from.

    `requested_by`, with uid and groups, is the stamp; `session` names the TaskSession that the Job belongs to, and
    `asks` is what it asks for where it is to have one of its own. `started` is when the Job controller took it up.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner_kind: str | None
    owner_name: str | None
    owner_uid: str | None
    created: datetime | None
    requested_by: str | None
    requested_by_uid: str
    requested_by_groups: tuple[str, ...]
    session: str | None
    asks: JobRequest | None
    suspended: bool
    service_account: str | None
    active_deadline_seconds: int | None
    started: datetime | None
    end: JobEnd | None
    being_deleted: bool
    problem: str | None = None
    """Why the rest of it is not read: then it is never started, and stopped where it runs."""

    @classmethod
    def from_object(cls, job: Mapping[str, Any]) -> "ObservedJob":
        """Read a Job as the API server sent it; absent fields become None."""
        metadata = job.get("metadata") or {}
        spec = job.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        template_metadata = (spec.get("template") or {}).get("metadata") or {}
        owner: Mapping[str, Any] = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), {})
        return cls(
            namespace=intern(metadata.get("namespace", "")),
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            owner_kind=intern(_short(owner.get("kind"))),
            owner_name=_short(owner.get("name")),
            owner_uid=_short(owner.get("uid")),
            created=_moment(metadata.get("creationTimestamp")),
            requested_by=intern(annotations.get(names.REQUESTED_BY_ANNOTATION)),
            requested_by_uid=intern(annotations.get(names.REQUESTED_BY_UID_ANNOTATION, "")),
            requested_by_groups=_groups_of(annotations),
            session=annotations.get(names.SESSION_ANNOTATION),
            asks=_request_of(annotations),
            suspended=bool(spec.get("suspend")),
            service_account=(template_metadata.get("annotations") or {}).get(names.SERVICE_ACCOUNT_ANNOTATION),
            active_deadline_seconds=spec.get("activeDeadlineSeconds"),
            started=_moment((job.get("status") or {}).get("startTime")),
            end=_end_of(job),
            being_deleted=metadata.get("deletionTimestamp") is not None,
            problem=problem_of(job),
        )


def _short(text: str | None) -> str | None:
    """Cut what a longer text than any name of ours would be: it is compared, and never equal."""
    return text if text is None else text[:_LONGEST_NAME]


def _request_of(annotations: Mapping[str, str]) -> JobRequest | None:
    policy = annotations.get(names.POLICY_ANNOTATION)
    if policy is None:
        return None
    return JobRequest(
        policy=policy,
        ttl=_cut(annotations.get(names.TTL_ANNOTATION)),
        reason=_cut(annotations.get(names.REASON_ANNOTATION)),
        access=_cut(annotations.get(names.ACCESS_ANNOTATION)),
    )


def _cut(text: str | None) -> str | None:
    """Keep no more of a text than shows that it is too long."""
    return text if text is None or len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT + 1]


def _groups_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Read the groups of the stamp where they are copied onto a TaskSession; of all other Jobs nobody reads them."""
    if names.POLICY_ANNOTATION not in annotations:
        return ()
    return tuple(filter(None, annotations.get(names.REQUESTED_BY_GROUPS_ANNOTATION, "").split("\n")))


def _moment(text: str | None) -> datetime | None:
    """Read a time stamp; None for what Python has no moment for, such as the year 0, which Kubernetes accepts."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _end_of(job: Mapping[str, Any]) -> JobEnd | None:
    conditions = {
        c.get("type"): c for c in (job.get("status") or {}).get("conditions") or () if c.get("status") == "True"
    }
    for kind, outcome in _ENDING_CONDITIONS.items():
        if kind in conditions:
            condition = conditions[kind]
            return JobEnd(
                outcome=outcome,
                reason=condition.get("reason") or "",
                message=str(condition.get("message") or "")[:_LONGEST_TEXT],
                time=_moment(condition.get("lastTransitionTime")),
            )
    return None


@dataclass(frozen=True, slots=True)
class Review:
    """The answers that policy needs, looked up for this attempt.

    `policy` is None where it does not exist; `failed` says, in a sentence, which look-up did not answer, and then
    nothing else here may be relied on: no grant, and no end either.
    """

    policy: SessionPolicy | None = None
    verdict: Verdict | None = None
    recheck: Recheck | None = None
    failed: str | None = None

    @property
    def goes_on(self) -> bool:
        """Whether this answers, with a yes, what was asked: the session may be granted, or may live on."""
        if self.failed is not None:
            return False
        if self.recheck is not None:
            return self.recheck.reason is None
        return self.verdict is not None and self.verdict.allowed


@dataclass(frozen=True, slots=True)
class Child:
    """One object that a session owns, as found in the cluster."""

    kind: str
    name: str
    uid: str


class RefusalKind(StrEnum):
    """Why the API server did not carry out a write, as far as the next step depends on it."""

    INVALID = "Invalid"
    """The object is not acceptable: a schema, a validation or an admission policy said no."""
    QUOTA = "Quota"
    """A ResourceQuota is exhausted: it may pass later."""
    CEILING = "Ceiling"
    """RBAC refused to let the operator hand out rights that it does not hold."""
    MISMATCH = "Mismatch"
    """An object of that name exists and is not what this session would have created."""
    FORBIDDEN = "Forbidden"
    """The operator lacks a right that it should have, or the namespace is being deleted."""


#: What a refusal calls the status of the TaskSession itself.
STATUS = "status"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that was refused: which kind of object, why, and the API server's words."""

    kind: RefusalKind
    object_kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What this attempt has already achieved, so that the next step of the same attempt can build on it.

    It is lost in a crash, by design: every step can be taken again. `identity` is whose timer and children these are.
    """

    identity: str | None = None
    timer_uid: str | None = None
    service_account_uid: str | None = None
    role_made: bool = False
    role_bindings_made: frozenset[str] = frozenset()
    found: tuple[Child, ...] | None = None
    role_bindings_gone: bool = False
    timer_gone: bool = False
    stopped: bool = False
    written_elsewhere: bool = False
    """The status that was decided is written beside all attempts: nothing is left to decide in this one."""

    @property
    def for_next_attempt(self) -> "Progress":
        """What a later attempt at the same grant starts with: an identity that was made is never made once more.

        Where it is gone by then, it went with its Job or TaskSession; rights for it come to nothing.
        """
        return Progress(identity=self.identity, timer_uid=self.timer_uid, service_account_uid=self.service_account_uid)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything `plan` knows beside the TaskSession itself.

    `removed`: the TaskSession object no longer exists. `namespace_ends`: its namespace is being deleted, which
    Kubernetes begins with the pods, so that everything else there lives on until they are gone. `identity_missing`:
    the sweep found that a granted session's ServiceAccount, timer or RoleBinding is gone, in words. `recheck_due`: a
    live session's policy is to be looked at again. `left_rights`: a session that is not granted may have RoleBindings
    all the same, of an attempt that did not come to its end. `stamped_since`: who asks is known of what was created
    after this moment; before it, the guards that stamp were not in force. None where that is not known, and so nobody.
    """

    operator_username: str
    job: ObservedJob | None = None
    review: Review | None = None
    removed: bool = False
    namespace_ends: bool = False
    recheck_due: bool = False
    guards_missing: tuple[str, ...] = ()
    stamped_since: datetime | None = None
    identity_missing: str | None = None
    left_rights: bool = False
    refusal: Refusal | None = None
    progress: Progress = field(default_factory=Progress)
