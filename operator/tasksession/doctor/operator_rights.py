"""Checks of what the operator itself may do, and of what it may hand out.

Pure; the examination calls them. A session can never hold more than is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tasksession.api import names
from tasksession.doctor.facts import Facts, Unread, gaps, items, name_of
from tasksession.doctor.finding import Area, Finding, Severity, listed
from tasksession.doctor.rbac import CLUSTER_ADMIN, Grant, Rule, allows, concerns, impersonating, is_wild, reaches
from tasksession.guards.values import CEILING_ROLE, ceiling_texts

_BINDING = "tasksession-operator"
_GUARDED_ROLES = "strings:ceiling.clusterRoles"
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_NARROW = "Take it out of the role, or unbind the role: the chart's own roles have nothing like it."
_CEILING = "Take it out of the chart's ceiling.clusterRoles, or list a narrower role there."

#: Where a rule comes from: kind and name of its role.
_Held = tuple[str, Rule]


def operator_of(facts: Facts) -> str | None:
    """Who the operator is: who asks, or else the one subject of the binding that the chart brings."""
    if facts.operator_user is not None:
        return facts.operator_user
    for binding in items(facts.cluster_role_bindings):
        if name_of(binding) == _BINDING:
            for subject in binding.get("subjects") or ():
                if subject["kind"] == "ServiceAccount":
                    return names.username(subject["namespace"], subject["name"])
    return None


def check_operator(facts: Facts, grants: Iterable[Grant]) -> list[Finding]:
    """The operator holds no way out of its limits, nor do the roles that it may hand out."""
    area = Area.OPERATOR
    if not isinstance(facts.own_rules, Unread):
        held: list[_Held] = [("The operator", rule) for rule in facts.own_rules]
    else:
        user = operator_of(facts)
        if user is None:
            found = gaps(area, {"ClusterRoleBindings": facts.cluster_role_bindings})
            problem = f"ClusterRoleBinding {_BINDING} does not exist, or binds no ServiceAccount."
            advice = "Install the chart: without it nobody knows who the operator is."
            return found or [Finding(area, Severity.FAILURE, "The operator", problem, advice)]
        own = [grant for grant in grants if reaches(grant, user) and not grant.upstream]
        held = [(f"{grant.role_kind} {grant.role}", rule) for grant in own for rule in grant.rules]
    found = gaps(area, {"ClusterRoles": facts.cluster_roles})
    for origin, rule in held:
        found.extend(_faults(origin, rule))
    bindable = {name for _, rule in held for name in _bindable(rule)}
    if not isinstance(facts.cluster_roles, Unread):
        found.extend(_handed_out(facts, sorted(bindable - {CLUSTER_ADMIN})))
    return list(dict.fromkeys(found))


def _faults(origin: str, rule: Rule) -> Iterator[Finding]:
    verbs = set(rule.get("verbs") or ())
    if not rule.get("resources"):
        return
    if is_wild(rule):
        yield _failure(origin, f"It has a wildcard: {_words(rule)}.")
        return
    for verb in sorted(verbs):
        if verb == "escalate" or impersonating(verb):
            yield _failure(origin, f"It has the verb {verb}, which leads out of every limit: {_words(rule)}.")
    roles = [each for each in ("roles", "clusterroles") if concerns(rule, _RBAC, each)]
    if "bind" in verbs and roles:
        if not rule.get("resourceNames"):
            yield _failure(origin, f"It has the verb bind on all {' and '.join(roles)}, so it may grant anything.")
        elif CLUSTER_ADMIN in rule["resourceNames"]:
            yield _failure(origin, f"It may bind {CLUSTER_ADMIN}, with which a session is free of every limit.")
    if verbs & set(_WRITES) and any(group == _ADMISSION for group in rule.get("apiGroups") or ()):
        yield _failure(origin, f"It may change admission, and so the guards: {_words(rule)}.")
    policies = allows([rule], group=names.GROUP, resource="sessionpolicies", verbs=(*_WRITES, "use", "approve"))
    if policies:
        yield _failure(origin, f"It may write, use or approve SessionPolicies: {_words(rule)}.")
    for resource in ("secrets", "serviceaccounts/token", "pods/exec"):
        if concerns(rule, "", resource):
            problem = f"It holds {', '.join(sorted(verbs))} on {resource}, in the whole cluster or where it is bound."
            advice = "Where it is in ceiling.rules so that sessions may have it, let them have it by a role instead."
            yield Finding(Area.OPERATOR, Severity.WARNING, origin, problem, advice)


def _failure(origin: str, problem: str) -> Finding:
    return Finding(Area.OPERATOR, Severity.FAILURE, origin, problem, _NARROW)


def _words(rule: Rule) -> str:
    verbs, resources = listed(rule.get("verbs") or (), 6), listed(rule.get("resources") or (), 6)
    groups = ", ".join(each or "core" for each in rule.get("apiGroups") or ())
    return f"{verbs} on {resources} of {groups}"


def check_ceiling(facts: Facts, values: Mapping[str, str]) -> list[Finding]:
    """The ceiling that the guard holds the operator to is the one that RBAC lets it hand out."""
    role = next((each for each in items(facts.cluster_roles) if name_of(each) == CEILING_ROLE), None)
    if role is None or _GUARDED_ROLES not in values:
        return []
    ours = ceiling_texts(role.get("rules") or ())
    if all(values.get(placeholder) == text for placeholder, text in ours.items()):
        return []
    problem = "It is not the ceiling that guard tasksession-operator-ceiling holds: sessions get only what both have."
    advice = "Install the chart again, with the ceiling that is meant."
    return [Finding(Area.OPERATOR, Severity.WARNING, f"ClusterRole {CEILING_ROLE}", problem, advice)]


def _bindable(rule: Rule) -> Iterator[str]:
    if "bind" in (rule.get("verbs") or ()) and concerns(rule, _RBAC, "clusterroles"):
        yield from rule.get("resourceNames") or ()


def _handed_out(facts: Facts, bindable: Iterable[str]) -> Iterator[Finding]:
    """Roles that the operator may bind for sessions: there, and without a way to further rights."""
    there = {name_of(role): role for role in items(facts.cluster_roles)}
    for name in bindable:
        subject = f"ClusterRole {name}"
        if name not in there:
            problem = "It is in the ceiling and does not exist: sessions that ask for it are not granted."
            advice = "Create it, or take it out of the chart's ceiling.clusterRoles."
            yield Finding(Area.OPERATOR, Severity.WARNING, subject, problem, advice)
            continue
        ways = list(dict.fromkeys(way for rule in there[name].get("rules") or () for way in _ways_out(rule)))
        if ways:
            problem = f"Sessions may be given it, and it leads to further rights: {', '.join(ways)}."
            yield Finding(Area.OPERATOR, Severity.WARNING, subject, problem, _CEILING)


def _ways_out(rule: Rule) -> Iterator[str]:
    verbs = set(rule.get("verbs") or ())
    if not rule.get("resources"):
        return
    if "*" in verbs or "*" in rule["resources"]:
        yield "a wildcard"
    yield from (f"the verb {verb}" for verb in sorted(verbs) if verb in ("bind", "escalate") or impersonating(verb))
    if concerns(rule, "", "serviceaccounts/token") and verbs & {"create", "*"}:
        yield "tokens of other ServiceAccounts"
