"""Builders of test objects: a session, a policy, a Job, a verdict, each valid and small, changed by keywords.

Used by the unit tests. They build what the API server would have let through, nothing else.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.access import RoleReference
from tasksession.api.conditions import Reason, State
from tasksession.api.metadata import OwnerReference
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import INITIAL_STATUS, TaskSession, TaskSessionStatus
from tasksession.lifecycle.observed import Child, Observed, ObservedJob, Progress, Review
from tasksession.lifecycle.status import ended as status_of_end
from tasksession.policy.checks import Denial, DenialKind
from tasksession.policy.evaluation import Recheck, Verdict, Wait

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NAMESPACE = "support"
OPERATOR = "system:serviceaccount:tasksession-system:tasksession-operator"
SESSION_UID = "11111111-2222-3333-4444-555555555555"
JOB_UID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
VIEW = RoleReference(kind="ClusterRole", name="view")


def timestamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def session(*, name: str = "triage", uid: str = SESSION_UID, **spec: Any) -> TaskSession:
    """A fresh TaskSession with a `jobTemplate`, created at NOW, of ten minutes."""
    return TaskSession.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": uid,
                "generation": 1,
                "resourceVersion": "10",
                "creationTimestamp": timestamp(NOW),
            },
            "spec": {
                "policy": "ticket-triage",
                "ttl": "10m",
                "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]},
                "task": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}},
                "requester": {"username": "jane", "groups": ["system:authenticated"]},
                **spec,
            },
            "status": INITIAL_STATUS,
        }
    )


def policy(**spec: Any) -> SessionPolicy:
    """A policy that allows `session()`."""
    return SessionPolicy.model_validate(
        {
            "metadata": {"name": "ticket-triage", "uid": "policy-uid", "generation": 3, "resourceVersion": "5"},
            "spec": {
                "namespaces": {"names": [NAMESPACE]},
                "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]},
                "maxTTL": "30m",
                **spec,
            },
        }
    )


def allowed(*, inline: bool = False) -> Review:
    """A review that says yes."""
    hashes: dict[RoleReference | None, str] = {VIEW: "hash-of-view"}
    if inline:
        hashes[None] = "hash-of-rules"
    return Review(policy=policy(), verdict=Verdict(denials=(), waits=(), rules_hashes=hashes))


def rechecked(recheck: Recheck | None = None) -> Review:
    """A re-check of a live session; by default one that finds nothing."""
    return Review(policy=policy(), recheck=recheck or Recheck(None, ""))


def job(
    *,
    uid: str = JOB_UID,
    name: str = "triage",
    owner_uid: str = SESSION_UID,
    owner_name: str = "triage",
    requested_by: str = OPERATOR,
    released_as: str | None = None,
    condition: tuple[str, str, datetime] | None = None,
    deleting: bool = False,
    active_deadline_seconds: int | None = None,
    started: datetime | None = None,
    version: int = 20,
) -> ObservedJob:
    """The Job that the operator made of `session()`: suspended, or released as an identity; `condition` ends it."""
    owner = {"apiVersion": names.API_VERSION, "kind": "TaskSession", "name": owner_name, "uid": owner_uid}
    return _job(
        annotations={names.REQUESTED_BY_ANNOTATION: requested_by, names.SESSION_ANNOTATION: name},
        owners=[{**owner, "controller": True}],
        uid=uid,
        name=name,
        released_as=released_as,
        condition=condition,
        deleting=deleting,
        active_deadline_seconds=active_deadline_seconds,
        started=started,
        version=version,
    )


def annotated_job(
    *, name: str = "triage", requested_by: str = "jane", annotations: dict[str, str] | None = None, **facts: Any
) -> ObservedJob:
    """A Job that jane created, and that asks for a session; `annotations` go over its own, without tasksession.dev/."""
    asked = {names.POLICY_ANNOTATION: "ticket-triage", names.TTL_ANNOTATION: "10m"}
    more = {f"{names.GROUP}/{key}": value for key, value in (annotations or {}).items()}
    stamp = {names.REQUESTED_BY_ANNOTATION: requested_by, names.REQUESTED_BY_GROUPS_ANNOTATION: "system:authenticated"}
    return _job(annotations={**asked, **more, **stamp}, name=name, **facts)


def joining_job(
    *, session: str = "triage", name: str = "work", requested_by: str = "jane", **facts: Any
) -> ObservedJob:
    """A Job that jane created to join a session."""
    stamp = {names.REQUESTED_BY_ANNOTATION: requested_by, names.REQUESTED_BY_GROUPS_ANNOTATION: "system:authenticated"}
    return _job(annotations={names.SESSION_ANNOTATION: session, **stamp}, name=name, **facts)


def asked_session(*, owner_uid: str = JOB_UID, annotations: dict[str, str] | None = None, **spec: Any) -> TaskSession:
    """The TaskSession that the operator made for `annotated_job()`."""
    owner = OwnerReference(api_version="batch/v1", kind="Job", name="triage", uid=owner_uid, controller=True)
    fresh = session(**{"task": {"job": {"name": "triage"}}, **spec})
    return with_metadata(fresh, owner_references=(owner,), annotations=annotations or {})


def _job(
    *,
    annotations: dict[str, str],
    owners: list[dict[str, Any]] | None = None,
    uid: str = JOB_UID,
    name: str,
    released_as: str | None = None,
    condition: tuple[str, str, datetime] | None = None,
    deleting: bool = False,
    active_deadline_seconds: int | None = None,
    started: datetime | None = None,
    created: datetime | None = None,
    version: int = 20,
) -> ObservedJob:
    template: dict[str, Any] = {"metadata": {}}
    if released_as is not None:
        template["metadata"]["annotations"] = {names.SERVICE_ACCOUNT_ANNOTATION: released_as}
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid,
        "resourceVersion": str(version),
        "annotations": annotations,
        "ownerReferences": owners or [],
        "creationTimestamp": timestamp(created or NOW),
    }
    if deleting:
        metadata["deletionTimestamp"] = timestamp(NOW)
    status: dict[str, Any] = {}
    if started is not None:
        status["startTime"] = timestamp(started)
    if condition is not None:
        kind, reason, moment = condition
        status["conditions"] = [
            {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": timestamp(moment)}
        ]
    spec: dict[str, Any] = {"suspend": released_as is None, "template": template}
    if active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = active_deadline_seconds
    return ObservedJob.from_object({"metadata": metadata, "spec": spec, "status": status})


def denied(*messages: str) -> Review:
    """A review that says no, for each of the reasons given."""
    denials = tuple(Denial(DenialKind.ACCESS, message) for message in messages)
    return Review(policy=policy(), verdict=Verdict(denials=denials, waits=(), rules_hashes={}))


def held_back(reason: Reason, message: str) -> Review:
    """A review that says: not yet."""
    verdict = Verdict(denials=(), waits=(Wait(reason, message),), rules_hashes={})
    return Review(policy=policy(), verdict=verdict)


def failed_review() -> Review:
    """A review that had no answer."""
    return Review(failed="The API server did not answer.")


def observed(**facts: Any) -> Observed:
    """What is seen of a world in order, whose guards are older than all else; `facts` are fields of Observed."""
    return Observed(operator_username=OPERATOR, **{"stamped_since": NOW - timedelta(days=1), **facts})


def made(*, inline: bool = False, bindings: bool = True) -> Progress:
    """The progress of an attempt that has made all children."""
    name = identity()
    made_so_far = {f"{name}-0"} if bindings else set()
    if inline and bindings:
        made_so_far.add(name)
    return Progress(
        identity=name,
        timer_uid="timer-uid",
        service_account_uid="service-account-uid",
        role_made=inline,
        role_bindings_made=frozenset(made_so_far),
    )


def timer_made() -> Progress:
    """The progress of an attempt that has made the timer."""
    return Progress(identity=identity(), timer_uid="timer-uid")


def leftovers() -> tuple[Child, ...]:
    """What an interrupted grant has left, as a listing shows it."""
    name = identity()
    return (Child("RoleBinding", f"{name}-0", "binding-uid"), Child("Job", name, "timer-uid"))


def with_status(session: TaskSession, status: TaskSessionStatus, *, version: str = "11") -> TaskSession:
    """The session as it is read after a status was written."""
    metadata = session.metadata.model_copy(update={"resource_version": version})
    return session.model_copy(update={"metadata": metadata, "status": status})


def with_metadata(session: TaskSession, **fields: Any) -> TaskSession:
    """The session with other metadata: labels, annotations, deletion_timestamp."""
    return session.model_copy(update={"metadata": session.metadata.model_copy(update=fields)})


def identity(deadline: datetime = NOW + timedelta(minutes=10)) -> str:
    """The identity's name of `session()` and `job()`."""
    return names.Identity(JOB_UID, int(deadline.timestamp())).name


def active(**spec: Any) -> TaskSession:
    """A session that was granted at NOW."""
    fresh = session(**spec)
    deadline = NOW + timedelta(minutes=10)
    name = identity(deadline)
    status = {
        "observedGeneration": 1,
        "state": "Active",
        "deadline": timestamp(deadline),
        "grantedAt": timestamp(NOW),
        "serviceAccountName": name,
        "serviceAccountUID": "service-account-uid",
        "timerUID": "timer-uid",
        "jobRef": {"name": "triage", "uid": JOB_UID},
        "policyRef": {"name": "ticket-triage", "uid": "policy-uid", "generation": 3},
        "grants": [
            {
                "role": {"kind": "ClusterRole", "name": "view"},
                "roleBinding": f"{name}-0",
                "rulesHash": "hash-of-view",
            }
        ],
        "conditions": [
            {"type": kind, "status": value, "reason": "Granted", "message": "", "observedGeneration": 1,
             "lastTransitionTime": timestamp(NOW)}
            for kind, value in (("Ready", "True"), ("Stalled", "False"), ("Reconciling", "False"), ("Granted", "True"))
        ],
    }  # fmt: skip
    return fresh.model_validate({**fresh.model_dump(mode="json", by_alias=True), "status": status})


def ended() -> TaskSession:
    """The session of `active()`, over: its Job completed."""
    session = active()
    status = status_of_end(
        session, state=State.COMPLETED, reason=Reason.COMPLETED, message="The Job completed.", now=NOW
    )
    return with_status(session, status)


def task(**job_spec: Any) -> dict[str, Any]:
    """A `spec.task` with a `jobTemplate` whose Job has these fields in its spec."""
    return {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}, **job_spec}}}


def nothing_found() -> Progress:
    """The progress of an attempt that has looked for leftovers and found none."""
    return Progress(found=())
