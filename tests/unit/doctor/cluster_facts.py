"""A cluster in which all is fine, as the doctor sees it, and builders of what may be wrong in it.

Tests replace one listing and see what the doctor says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tasksession.cluster.expected_guards import GUARDS, UPSTREAM
from tasksession.doctor.examination import examine
from tasksession.doctor.facts import Facts, SeenLease
from tasksession.doctor.finding import Finding, Report
from tests.unit.guards.shipped import VALUES, installed

Object = dict[str, Any]

NAMES = ("tasksessions", "sessionpolicies", "sessionapprovals")
#: Values of the chart, with the operator of the tests.
PLAIN = {
    **VALUES,
    **UPSTREAM,
    "strings:ceiling.clusterRoles": "['view']",
    "rules:ceiling.rules": "[]",
    "numbers:ceiling.rules": "{}",
    "strings:controllers.job+controllers.garbageCollector": "['system:serviceaccount:kube-system:job-controller', "
    "'system:kube-controller-manager', 'system:serviceaccount:kube-system:generic-garbage-collector']",
}
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
GUARD_TIME = "2026-11-01T00:00:00Z"
BEFORE, AFTER = "2026-10-01T00:00:00Z", "2026-11-02T00:00:00Z"
IDENTITY = "ts-11111111-1111-1111-1111-111111111111-1800000000"


def definition(**status: Any) -> Object:
    """A definition that is served."""
    accepted = {"storedVersions": ["v1alpha1"], "conditions": [{"type": "Established", "status": "True"}], **status}
    return {"spec": {"versions": [{"name": "v1alpha1", "served": True, "storage": True}]}, "status": accepted}


def rule(verbs: list[str], resources: list[str], groups: list[str] | None = None, **more: Any) -> Object:
    """A rule of a role."""
    return {"apiGroups": groups or [""], "resources": resources, "verbs": verbs, **more}


def role(name: str, *rules: Object, namespace: str | None = None, labels: dict[str, str] | None = None) -> Object:
    """A ClusterRole, or with a namespace a Role."""
    metadata: Object = {"name": name, "labels": labels or {}}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "rules": list(rules)}


def binding(name: str, bound: str, *subjects: str, namespace: str | None = None, kind: str = "ClusterRole") -> Object:
    """A binding; a subject is `User bob`, `Group devs` or `ServiceAccount shop/ci`."""
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    found = []
    for subject in subjects:
        what, _, who = subject.partition(" ")
        place, _, last = who.partition("/") if what == "ServiceAccount" else ("", "", who)
        found.append({"kind": what, "name": last, **({"namespace": place} if place else {})})
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": bound}, "subjects": found}


EDIT = role("edit", rule(["create", "delete", "patch"], ["pods"]), rule(["impersonate"], ["serviceaccounts"]))
VIEW = role("view", rule(["get", "list", "watch"], ["pods", "configmaps"]))
ADMIN = role("cluster-admin", rule(["*"], ["*"], ["*"]))
OWN = role("tasksession-operator", rule(["get", "list", "watch", "create", "delete"], ["jobs"], ["batch"]))
CEILING = role(
    "tasksession-operator-ceiling",
    rule(["bind"], ["clusterroles"], ["rbac.authorization.k8s.io"], resourceNames=["view"]),
)
SUBJECT = "ServiceAccount access/session-operator"
#: What the API server brings itself.
UPSTREAM_BINDING: Object = binding("cluster-admin", "cluster-admin", "Group system:masters")
UPSTREAM_BINDING["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def guards_with(**values: str) -> tuple[tuple[str, Object], ...]:
    """The guards of an installation, with some values of the ceiling: its `cluster_roles`, `rules` and `numbers`."""
    places = {"cluster_roles": "strings:ceiling.clusterRoles", "rules": "rules:ceiling.rules"}
    places["numbers"] = "numbers:ceiling.rules"
    filled = {**PLAIN, **{places[name]: value for name, value in values.items()}}
    return tuple((plural, item) for (plural, _), item in installed(filled).items())


def lease(renewed: str = "2026-11-03T11:59:58.000000Z", holder: str = "tasksession-operator-0") -> Object:
    """The Lease that the operator at work renews."""
    return {"metadata": {"name": "tasksession-operator"}, "spec": {"holderIdentity": holder, "renewTime": renewed}}


def seen_lease(item: Object | None) -> SeenLease:
    """A look at the Lease in the operator's namespace."""
    return SeenLease(namespace="access", lease=item, now=NOW)


def namespace(name: str, **labels: str) -> Object:
    """A namespace."""
    return {"metadata": {"name": name, "labels": labels}}


def session(name: str = "triage", *, state: str = "Active", where: str = "shop") -> Object:
    """A TaskSession that is live, or in another state."""
    metadata = {"name": name, "namespace": where, "uid": f"uid-{name}"}
    return {"metadata": metadata, "spec": {}, "status": {"state": state, "serviceAccountName": IDENTITY}}


def child(name: str = IDENTITY, *, where: str = "shop") -> Object:
    """What a session consists of."""
    return {"metadata": {"name": name, "namespace": where}, "spec": {}}


def healthy() -> Facts:
    """A cluster in which nothing is to be said."""
    return Facts(
        guards=guards_with(),
        definitions={f"{each}.tasksession.dev": definition() for each in NAMES},
        admission_resources=tuple(
            f"{kind}admissionpolic{end}" for kind in ("mutating", "validating") for end in ("ies", "ybindings")
        ),
        api_servers=(),
        cluster_roles=(EDIT, VIEW, ADMIN, OWN, CEILING),
        cluster_role_bindings=(
            UPSTREAM_BINDING,
            binding("tasksession-operator", "tasksession-operator", SUBJECT),
            binding("tasksession-operator-ceiling", "tasksession-operator-ceiling", SUBJECT),
        ),
        roles=(),
        role_bindings=(),
        namespaces=(namespace("shop", team="shop"), namespace("access"), namespace("elsewhere")),
        policies=({"metadata": {"name": "triage"}, "spec": {"namespaces": {"names": ["shop", "gone"]}}},),
        sessions=(session(),),
        jobs=(child(),),
        cron_jobs=(),
        service_accounts=(child(),),
        lease=seen_lease(lease()),
    )


def report(facts: Facts | None = None, /, **changes: Any) -> Report:
    """Examine a cluster that differs in some listings from a healthy one."""
    return examine(replace(facts or healthy(), **changes), GUARDS, UPSTREAM)


def only(found: Report) -> Finding:
    """The one finding of a report."""
    (finding,) = found.findings
    return finding


def bound(*bindings: Object) -> tuple[Mapping[str, Any], ...]:
    """The ClusterRoleBindings of a healthy cluster, and some more."""
    listed = healthy().cluster_role_bindings
    assert isinstance(listed, tuple)
    return (*listed, *bindings)


def with_roles(*roles: Object) -> tuple[Mapping[str, Any], ...]:
    """The ClusterRoles of a healthy cluster, some of them replaced or added."""
    listed = healthy().cluster_roles
    assert isinstance(listed, tuple)
    names = {each["metadata"]["name"] for each in roles}
    return (*(each for each in listed if each["metadata"]["name"] not in names), *roles)
