"""The objects a session consists of, as they are written to the API server, and what it takes to adopt one.

`plan` calls the builders; the applying side calls `matches` when a name is already taken. Every child has one
controller owner with `blockOwnerDeletion`, no finalizer, and a name that carries its task's uid, so that garbage
collection alone can end a session and no name ever serves two.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tasksession.api import names
from tasksession.api.access import Access, PolicyRule, RoleReference
from tasksession.api.session import TaskSession
from tasksession.lifecycle.observed import ObservedJob
from tasksession.lifecycle.task_job import seconds_until

Manifest = dict[str, Any]

#: How much later than the deadline a timer may fire, in seconds, because the request that made it took its time; the
#: guard on the operator's Jobs allows as much.
TIMER_LATENESS_SECONDS = 60


def owner_reference(api_version: str, kind: str, name: str, uid: str) -> Manifest:
    """Build the one controller owner that every child of a session has."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _session_reference(session: TaskSession) -> Manifest:
    return owner_reference(names.API_VERSION, "TaskSession", session.metadata.name, session.metadata.uid)


def child_labels(session: TaskSession) -> dict[str, str]:
    """Build the labels by which the sweep and people find what belongs to a session."""
    return {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.SESSION_LABEL: session.metadata.name,
        names.SESSION_UID_LABEL: session.metadata.uid,
    }


def job_problem(session: TaskSession) -> str | None:
    """Say what keeps a `jobTemplate` from becoming a Job, where that is known before the API server is asked."""
    template = session.spec.task.job_template or {}
    spec = template.get("spec")
    if not isinstance(spec, Mapping):
        return "spec.task.jobTemplate.spec is not an object: write it as in a Job."
    metadata = template.get("metadata") or {}
    for where in ("labels", "annotations"):
        reserved = sorted(key for key in metadata.get(where) or {} if key.startswith(f"{names.GROUP}/"))
        if reserved:
            return (
                f"spec.task.jobTemplate.metadata.{where} has {', '.join(reserved)}: "
                f"{names.GROUP}/ is reserved, remove it from the template."
            )
    return None


def authored_deadline(session: TaskSession) -> int | None:
    """The `activeDeadlineSeconds` that the author of a `jobTemplate` set; None where there is none."""
    spec = (session.spec.task.job_template or {}).get("spec")
    value = spec.get("activeDeadlineSeconds") if isinstance(spec, Mapping) else None
    return value if isinstance(value, int) else None


def job(session: TaskSession) -> Manifest:
    """Build the Job of a session's `jobTemplate`: the template, suspended, marked and owned."""
    template = session.spec.task.job_template or {}
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": session.metadata.name,
            "namespace": session.metadata.namespace,
            "labels": {**(metadata.get("labels") or {}), **child_labels(session), names.MANAGED_LABEL: "true"},
            "annotations": {
                **(metadata.get("annotations") or {}),
                names.SESSION_ANNOTATION: session.metadata.name,
            },
            "ownerReferences": [_session_reference(session)],
        },
        "spec": {**template["spec"], "suspend": True},
    }


def timer(session: TaskSession, job: ObservedJob, identity: names.Identity, now: datetime) -> Manifest:
    """Build the timer: a Job without pods that Kubernetes itself fails at the deadline and deletes at once.

    Its selector is a label that no pod may bear, so that nobody can have it adopt a pod and hold it open. It hangs on
    the TaskSession, but where that owns the Job: there on the Job, so that either of the two takes it.
    """
    owner = _session_reference(session)
    if session.spec.task.job_template is not None:
        owner = owner_reference("batch/v1", "Job", job.name, job.uid)
    left = seconds_until(datetime.fromtimestamp(identity.deadline, tz=now.tzinfo), now)
    marker = {names.TIMER_LABEL: identity.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": identity.name,
            "namespace": session.metadata.namespace,
            "labels": child_labels(session),
            "ownerReferences": [owner],
        },
        "spec": {
            "parallelism": 0,
            "completions": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": left,
            "ttlSecondsAfterFinished": 0,
            "manualSelector": True,
            "selector": {"matchLabels": marker},
            "template": {
                "metadata": {"labels": marker},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "timer", "image": "timer"}],
                },
            },
        },
    }


def _child(
    session: TaskSession, *, api_version: str, kind: str, name: str, timer_name: str, timer_uid: str
) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": session.metadata.namespace,
            "labels": child_labels(session),
            "ownerReferences": [owner_reference("batch/v1", "Job", timer_name, timer_uid)],
        },
    }


def service_account(session: TaskSession, identity: names.Identity, timer_uid: str) -> Manifest:
    """Build the identity. Nothing mounts its token by itself: admission gives the Job a bounded one."""
    name = identity.name
    manifest = _child(session, api_version="v1", kind="ServiceAccount", name=name, timer_name=name, timer_uid=timer_uid)
    return {**manifest, "automountServiceAccountToken": False}


_RBAC = "rbac.authorization.k8s.io"


def role(session: TaskSession, identity: names.Identity, timer_uid: str, rules: tuple[PolicyRule, ...]) -> Manifest:
    """Build the Role of the inline rules."""
    name = identity.name
    manifest = _child(session, api_version=f"{_RBAC}/v1", kind="Role", name=name, timer_name=name, timer_uid=timer_uid)
    return {**manifest, "rules": [rule.model_dump(mode="json", by_alias=True, exclude_defaults=True) for rule in rules]}


def role_binding(
    session: TaskSession, identity: names.Identity, timer_uid: str, name: str, reference: RoleReference | None
) -> Manifest:
    """Build the RoleBinding `name` of a role, or, for None, of the session's own Role of inline rules.

    It hangs on the timer, as all that a session has: what Kubernetes ends at the deadline must not outlive it.
    """
    manifest = _child(
        session,
        api_version=f"{_RBAC}/v1",
        kind="RoleBinding",
        name=name,
        timer_name=identity.name,
        timer_uid=timer_uid,
    )
    return {
        **manifest,
        "roleRef": {
            "apiGroup": _RBAC,
            "kind": reference.kind if reference else "Role",
            "name": reference.name if reference else identity.name,
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": identity.name, "namespace": session.metadata.namespace},
        ],
    }


def role_bindings(identity: names.Identity, access: Access) -> tuple[tuple[str, RoleReference | None], ...]:
    """List the RoleBindings that grant `access`: name and role, None standing for the inline rules."""
    bound: list[tuple[str, RoleReference | None]] = [
        (names.role_binding_name(identity.name, index), reference) for index, reference in enumerate(access.roles)
    ]
    if access.rules:
        bound.append((names.role_binding_name(identity.name, None), None))
    return tuple(bound)


def matches(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an object of a taken name is what this session would have created.

    Owner, labels and absence of finalizers are compared for every kind; rights, subjects and the timer's clock in
    full. A difference means somebody else's hand: the object is then refused, never adopted.
    """
    metadata, expected = existing.get("metadata") or {}, wanted["metadata"]
    owners = [
        (o.get("apiVersion"), o.get("kind"), o.get("uid"), o.get("controller"))
        for o in metadata.get("ownerReferences") or ()
    ]
    expected_owners = [(o["apiVersion"], o["kind"], o["uid"], True) for o in expected["ownerReferences"]]
    if owners != expected_owners or metadata.get("finalizers") or metadata.get("deletionTimestamp"):
        return False
    labels = metadata.get("labels") or {}
    if any(labels.get(key) != value for key, value in child_identity(expected).items()):
        return False
    match wanted["kind"]:
        case "RoleBinding":
            return _subjects(existing) == _subjects(wanted) and existing.get("roleRef") == wanted["roleRef"]
        case "Role":
            return _rules(existing) == _rules(wanted)
        case "Job" if names.parse_identity(expected["name"]):
            return _is_timer(existing, wanted)
        case _:
            return True


def child_identity(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Pick the labels that say which session an object belongs to."""
    labels = metadata.get("labels") or {}
    return {key: labels[key] for key in (names.SESSION_LABEL, names.SESSION_UID_LABEL) if key in labels}


def _subjects(binding: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(s.get("kind"), s.get("namespace"), s.get("name")) for s in binding.get("subjects") or ()]


#: What a RoleBinding gives, and to whom: kind and name of its role, and its subjects.
Given = tuple[str, str, tuple[tuple[Any, ...], ...]]


def given_by(binding: Mapping[str, Any]) -> Given:
    """Read what a RoleBinding gives."""
    role = binding.get("roleRef") or {}
    return role.get("kind", ""), role.get("name", ""), tuple(_subjects(binding))


def given_to(identity: str, namespace: str, role: RoleReference | None) -> Given:
    """Say what the RoleBinding of a grant has to give, for None the session's own Role: else somebody changed it."""
    kind, name = (role.kind, role.name) if role is not None else ("Role", identity)
    return kind, name, (("ServiceAccount", namespace, identity),)


def _rules(manifest: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    return [{key: sorted(value) for key, value in rule.items() if value} for rule in manifest.get("rules") or ()]


def _is_timer(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Compare a timer with the one this session would make now, later than the first attempt did."""
    spec, expected = existing.get("spec") or {}, wanted["spec"]
    same = ("parallelism", "completions", "ttlSecondsAfterFinished", "manualSelector", "selector")
    if any(spec.get(key) != expected[key] for key in same) or spec.get("suspend"):
        return False
    created = datetime.fromisoformat(existing["metadata"]["creationTimestamp"])
    identity = names.parse_identity(wanted["metadata"]["name"])
    if identity is None:
        return False
    late = created.timestamp() + int(spec.get("activeDeadlineSeconds") or 0) - identity.deadline
    # The creation time is cut to whole seconds, and the request that made it may have been long under way.
    return -1 <= late <= TIMER_LATENESS_SECONDS
