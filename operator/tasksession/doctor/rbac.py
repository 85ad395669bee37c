"""Who holds which rules, from roles and their bindings: the part of RBAC's arithmetic that the doctor's checks share.

Pure. It never decides whether a right is a fault; that is for the checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasksession.api import names
from tasksession.doctor.facts import Facts, Object, items, name_of, namespace_of, texts

Rule = Mapping[str, Any]

CLUSTER_ADMIN = "cluster-admin"
_BOOTSTRAPPING = "kubernetes.io/bootstrapping"
_ALL = "*"


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of one binding, with the rules of its role."""

    subject: str
    """Kind and name, such as `User bob` or `ServiceAccount shop/deployer`."""
    kind: str
    name: str
    subject_namespace: str
    role: str
    """The role's name."""
    role_kind: str
    binding: str
    """Kind, namespace and name of the binding."""
    namespace: str | None
    """Where it holds; None: everywhere."""
    rules: tuple[Rule, ...]
    known: bool
    """Whether the role could be read."""
    upstream: bool
    """Whether Kubernetes itself brings this grant."""

    @property
    def username(self) -> str:
        """The user that a ServiceAccount is; else the name."""
        return names.username(self.subject_namespace, self.name) if self.kind == "ServiceAccount" else self.name


def grants(facts: Facts) -> tuple[Grant, ...]:
    """Every grant by a ClusterRoleBinding or RoleBinding, those to sessions left out."""
    cluster_roles = {name_of(role): role for role in items(facts.cluster_roles)}
    roles = {(namespace_of(role), name_of(role)): role for role in items(facts.roles)}
    found: list[Grant] = []
    for binding in (*items(facts.cluster_role_bindings), *items(facts.role_bindings)):
        namespace = namespace_of(binding)
        reference = binding["roleRef"]
        role = (
            cluster_roles.get(reference["name"])
            if reference["kind"] == "ClusterRole"
            else roles.get((namespace, reference["name"]))
        )
        found.extend(
            _grant(binding, subject, role)
            for subject in binding.get("subjects") or ()
            if names.parse_identity(str(subject["name"]).rpartition(":")[2]) is None
        )
    return tuple(found)


def _grant(binding: Object, subject: Mapping[str, str], role: Object | None) -> Grant:
    namespace = namespace_of(binding)
    kind, name = subject["kind"], subject["name"]
    where = subject.get("namespace") or namespace
    place = f"RoleBinding {namespace}/{name_of(binding)}" if namespace else f"ClusterRoleBinding {name_of(binding)}"
    return Grant(
        subject=f"{kind} {where}/{name}" if kind == "ServiceAccount" else f"{kind} {name}",
        kind=kind,
        name=name,
        subject_namespace=where if kind == "ServiceAccount" else "",
        role=binding["roleRef"]["name"],
        role_kind=binding["roleRef"]["kind"],
        binding=place,
        namespace=namespace or None,
        rules=tuple((role or {}).get("rules") or ()),
        known=role is not None,
        upstream=_is_upstream(binding, kind, name, where),
    )


def _is_upstream(binding: Object, kind: str, name: str, namespace: str) -> bool:
    """Whether a subject is one of Kubernetes' own, in a binding that it brings itself."""
    if _BOOTSTRAPPING not in texts(binding, "labels"):
        return False
    if kind == "ServiceAccount":
        return namespace == "kube-system"
    return name.startswith("system:") and name != "system:anonymous"


def allows(rules: Iterable[Rule], *, group: str, resource: str, verbs: Iterable[str]) -> bool:
    """Whether any of the rules allows any of the verbs on a resource, on whatever names."""
    wanted = {*verbs, _ALL}
    return any(wanted & set(rule.get("verbs") or ()) and concerns(rule, group, resource) for rule in rules)


def concerns(rule: Rule, group: str, resource: str) -> bool:
    """Whether a rule is about a resource; subresources are written as `pods/exec`."""
    resources = rule.get("resources") or ()
    subresource = resource.partition("/")[2]
    pattern = f"*/{subresource}" if subresource else _ALL
    groups = rule.get("apiGroups") or ()
    return (group in groups or _ALL in groups) and bool({resource, pattern, _ALL} & set(resources))


def impersonating(verb: str) -> bool:
    """Whether a verb lets its holder act as somebody else, by plain or by constrained impersonation."""
    return verb == "impersonate" or verb.startswith(("impersonate:", "impersonate-on:"))


def is_wild(rule: Rule) -> bool:
    """Whether a rule on resources has a wildcard."""
    return bool(rule.get("resources")) and any(
        _ALL in each for field in ("apiGroups", "resources", "verbs") for each in rule.get(field) or ()
    )


def reaches(grant: Grant, user: str) -> bool:
    """Whether a grant is one to a user, by name or by a group that a ServiceAccount is in."""
    parts = user.split(":")
    groups = {"system:authenticated"}
    if len(parts) == 4 and user.startswith("system:serviceaccount:"):
        groups |= {"system:serviceaccounts", f"system:serviceaccounts:{parts[2]}"}
    return grant.name in groups if grant.kind == "Group" else grant.username == user
