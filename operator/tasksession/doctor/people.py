"""Checks of who, beside the operator, could act as a session, change guards, or reach sessions by a group.

Pure; the examination calls them. They tell what RBAC says; what the guards refuse nevertheless stands in each finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from tasksession.api import admission, names
from tasksession.doctor.facts import Facts, Object, Unread, gaps, items, name_of, namespace_of, texts
from tasksession.doctor.finding import Area, Finding, Severity, listed
from tasksession.doctor.rbac import CLUSTER_ADMIN, Grant, allows, concerns, is_wild, reaches

_ADMISSION = "admissionregistration.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_BUILT_IN = ("admin", "edit")
#: What lets somebody run as a ServiceAccount of the namespace.
_STARTS = (
    ("", "pods", ("create",)),
    ("", "pods/exec", ("create",)),
    ("apps", "deployments", ("create", "update", "patch")),
    ("batch", "jobs", ("create",)),
    ("batch", "cronjobs", ("create", "update", "patch")),
    ("", "serviceaccounts", ("impersonate",)),
    ("", "serviceaccounts/token", ("create",)),
)
_RESERVED = (
    ("sessionpolicies", ("use", "approve", *_WRITES)),
    ("tasksessions/exec", ("create",)),
    ("tasksessions/token", ("create",)),
    ("tasksessions/status", _WRITES),
)
_STOPPED = (
    "Guards refuse what they would write as a session and the tokens they would make of it; "
    "what a session may read, they may read while it lives."
)


def session_namespaces(facts: Facts, grants: Iterable[Grant]) -> tuple[str, ...]:
    """Where sessions are or may be: named by a SessionPolicy, with a session, or with somebody who may use one."""
    if facts.only:
        return facts.only
    found = {namespace_of(session) for session in items(facts.sessions)}
    found |= {grant.namespace for grant in grants if grant.namespace and _may_use(grant)}
    for policy in items(facts.policies):
        chosen: Mapping[str, object] = (policy.get("spec") or {}).get("namespaces") or {}
        found |= {name_of(each) for each in items(facts.namespaces) if _is_chosen(each, chosen)}
    if not isinstance(facts.namespaces, Unread):
        found &= {name_of(each) for each in facts.namespaces}
    return tuple(sorted(found))


def _is_chosen(namespace: Object, chosen: Mapping[str, object]) -> bool:
    named, labels = chosen.get("names"), chosen.get("matchLabels")
    if isinstance(named, list):
        return name_of(namespace) in named
    return isinstance(labels, dict) and labels.items() <= dict(texts(namespace, "labels")).items()


def _may_use(grant: Grant) -> bool:
    return any(
        "use" in (rule.get("verbs") or ()) and concerns(rule, names.GROUP, "sessionpolicies") and not is_wild(rule)
        for rule in grant.rules
    )


def check_people(facts: Facts, grants: Iterable[Grant], operator_user: str | None) -> list[Finding]:
    """Who could act as a session or as the operator, change the guards, or have more by a group than was asked."""
    found = gaps(
        Area.PEOPLE,
        {
            "ClusterRoleBindings": facts.cluster_role_bindings,
            "RoleBindings": facts.role_bindings,
            "Roles": facts.roles,
            "Namespaces of sessions, by SessionPolicy": facts.policies,
        },
    )
    others = [
        grant
        for grant in grants
        if not grant.upstream and not (operator_user and grant.kind != "Group" and reaches(grant, operator_user))
    ]
    namespaces = session_namespaces(facts, others)
    found.extend(_aggregated(items(facts.cluster_roles)))
    found.extend(_administrators(others))
    found.extend(_change_guards(others))
    found.extend(_act_everywhere(others))
    by_namespace: dict[str | None, list[Grant]] = {}
    for grant in others:
        by_namespace.setdefault(grant.namespace, []).append(grant)
    alike: dict[Finding, list[str]] = {}
    for namespace in namespaces:
        for finding in _act_in(by_namespace.get(namespace, ())):
            alike.setdefault(finding, []).append(namespace)
    for finding, where in alike.items():
        subject = f"Namespace{'s' if len(where) > 1 else ''} {listed(where)}"
        found.append(replace(finding, subject=subject))
    if operator_user and operator_user.count(":") == 3:
        found.extend(_are_the_operator(operator_user.split(":")[2], others))
    found.extend(_by_group(others, namespaces))
    found.extend(_accounts_that_ask(others))
    return found


def _aggregated(cluster_roles: Iterable[Object]) -> Iterator[Finding]:
    """Roles that many hold have nothing of what is given by a rule of its own."""
    for role in cluster_roles:
        aggregates = [key for key in texts(role, "labels") if "/aggregate-to-" in key]
        if not aggregates and name_of(role) not in ("view", "edit", "admin"):
            continue
        rights = [
            f"{verb} on {resource}"
            for resource, verbs in _RESERVED
            for verb in verbs
            if allows(role.get("rules") or (), group=names.GROUP, resource=resource, verbs=(verb,))
        ]
        if rights:
            where = f" aggregated into {listed(key.rpartition('-')[2] for key in aggregates)}" if aggregates else ""
            problem = f"It is{where or ' a role that many hold'} and gives {listed(rights, 4)} to all of them."
            advice = "Give these verbs by a role of its own, bound to those who are meant."
            yield Finding(Area.PEOPLE, Severity.FAILURE, f"ClusterRole {name_of(role)}", problem, advice)


def _administrators(grants: Iterable[Grant]) -> Iterator[Finding]:
    holders = [grant for grant in grants if grant.namespace is None and grant.role == CLUSTER_ADMIN]
    people = [grant.subject for grant in holders if grant.kind != "ServiceAccount"]
    if people:
        problem = f"{listed(people)}: they may change guards, roles and definitions, and nothing here holds them."
        yield Finding(Area.PEOPLE, Severity.NOTE, "Cluster administrators", problem)
    for grant in holders:
        if grant.kind == "ServiceAccount":
            space = grant.subject_namespace
            problem = f"It is a cluster administrator, and so is whoever may start pods or make tokens in {space}."
            advice = f"Give it narrower rights, or let nobody hold edit in {space}."
            yield Finding(Area.PEOPLE, Severity.WARNING, grant.subject, problem, advice)


def _change_guards(grants: Iterable[Grant]) -> Iterator[Finding]:
    def may(grant: Grant) -> bool:
        return any(allows(grant.rules, group=_ADMISSION, resource=kind, verbs=_WRITES) for kind in admission.RESOURCES)

    for role, subjects in _by_role(
        grant for grant in grants if grant.namespace is None and grant.role != CLUSTER_ADMIN and may(grant)
    ):
        problem = f"{subjects} may change or delete admission policies by it, the guards among them."
        advice = "Make sure that it is meant; the operator grants nothing while a guard is changed."
        yield Finding(Area.PEOPLE, Severity.WARNING, role, problem, advice)


def _act_everywhere(grants: Iterable[Grant]) -> Iterator[Finding]:
    wide = [grant for grant in grants if grant.namespace is None and grant.role != CLUSTER_ADMIN]
    for role, subjects in _by_role(grant for grant in wide if _impersonates(grant)):
        problem = f"{subjects} may impersonate identities in every namespace by it. {_STOPPED}"
        advice = "Bind it in single namespaces, outside those of sessions."
        yield Finding(Area.PEOPLE, Severity.WARNING, role, problem, advice)


def _act_in(grants: Collection[Grant]) -> Iterator[Finding]:
    """Who may act as a session in a namespace; the findings have no subject yet."""
    subject = ""
    wild = [grant for grant in grants if _holds_all_verbs(grant)]
    if wild:
        problem = (
            f"{_people(wild)} hold a wildcard here, and with it the right to use and approve every SessionPolicy, "
            "to enter pods of sessions and to make their tokens."
        )
        advice = "Bind admin or edit instead of roles with wildcards."
        yield Finding(Area.PEOPLE, Severity.WARNING, subject, problem, advice)
    acting = [grant for grant in grants if _impersonates(grant) and not _holds_all_verbs(grant)]
    usual = [grant for grant in acting if _is_built_in(grant)]
    for severity, holders, advice in (
        (
            Severity.WARNING,
            [grant for grant in acting if not _is_built_in(grant)],
            "Take the verbs that impersonate out of the role.",
        ),
        (Severity.NOTE, usual, "Keep edit and admin in namespaces of sessions to few."),
    ):
        if holders:
            problem = f"{_people(holders)} may impersonate ServiceAccounts here. {_STOPPED}"
            yield Finding(Area.PEOPLE, severity, subject, problem, advice)


def _are_the_operator(namespace: str, grants: Iterable[Grant]) -> Iterator[Finding]:
    def may_start(grant: Grant) -> bool:
        return _impersonates(grant) or any(
            allows(grant.rules, group=group, resource=resource, verbs=verbs) for group, resource, verbs in _STARTS
        )

    here = [
        grant
        for grant in grants
        if grant.namespace in (namespace, None)
        and not (grant.namespace is None and grant.role == CLUSTER_ADMIN)
        and may_start(grant)
    ]
    if here:
        problem = (
            f"{_people(here)} may start pods, make tokens or impersonate in the operator's namespace, and so be it."
        )
        advice = "Let nobody but cluster administrators hold such rights there."
        yield Finding(Area.PEOPLE, Severity.WARNING, f"Namespace {namespace}", problem, advice)


def _by_group(grants: Iterable[Grant], namespaces: Collection[str]) -> Iterator[Finding]:
    groups = {"system:authenticated", "system:serviceaccounts"}
    groups |= {f"system:serviceaccounts:{namespace}" for namespace in namespaces}
    for grant in grants:
        if grant.kind != "Group" or grant.name not in groups:
            continue
        if grant.namespace is None or grant.namespace in namespaces or grant.name.count(":") == 2:
            problem = (
                f"It gives {grant.role} to {grant.name}, to which sessions belong: they have more than they asked for."
            )
            advice = "Bind the role to the ServiceAccounts or people that are meant, by name."
            yield Finding(Area.PEOPLE, Severity.WARNING, grant.binding, problem, advice)


def _accounts_that_ask(grants: Iterable[Grant]) -> Iterator[Finding]:
    for grant in grants:
        if grant.kind == "ServiceAccount" and any(
            not is_wild(rule)
            and allows([rule], group=names.GROUP, resource="sessionpolicies", verbs=("use", "approve"))
            for rule in grant.rules
        ):
            space = grant.subject_namespace
            problem = (
                f"It may use or approve SessionPolicies ({grant.binding}), and so may whoever has edit in {space}."
            )
            advice = "Give these verbs to people, or let nobody hold edit beside it."
            yield Finding(Area.PEOPLE, Severity.WARNING, grant.subject, problem, advice)


def _holds_all_verbs(grant: Grant) -> bool:
    return any("*" in (rule.get("verbs") or ()) and is_wild(rule) for rule in grant.rules)


def _is_built_in(grant: Grant) -> bool:
    return grant.role in _BUILT_IN and grant.role_kind == "ClusterRole"


def _impersonates(grant: Grant) -> bool:
    """By plain impersonation, or by a mode of the constrained one, which has verbs and a group of its own."""
    plain = any(
        allows(grant.rules, group="", resource=resource, verbs=("impersonate",))
        for resource in ("serviceaccounts", "users", "groups")
    )
    return plain or any(
        verb.startswith("impersonate:") and {_AUTHENTICATION, "*"} & set(rule.get("apiGroups") or ())
        for rule in grant.rules
        for verb in rule.get("verbs") or ()
    )


def _people(grants: Iterable[Grant]) -> str:
    return listed(f"{grant.subject} ({grant.role})" for grant in grants)


def _by_role(grants: Iterable[Grant]) -> Iterator[tuple[str, str]]:
    roles: dict[str, list[str]] = {}
    for grant in grants:
        roles.setdefault(f"{grant.role_kind} {grant.role}", []).append(grant.subject)
    for role, subjects in roles.items():
        yield role, listed(subjects)
