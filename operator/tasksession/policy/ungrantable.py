"""Rights that no session is given, whatever policy and ceiling say: those that lead out of its limits, and void ones.

Only `checks` calls it. It looks at what rules say and asks nobody. Inline rules are held to all of it, since whoever
writes them can leave such a rule out. A role that is there already, `edit` for one, may have rules that guards refuse
to a session later on: of a role only that counts which no guard could police.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasksession.api import admission, names
from tasksession.api.access import PolicyRule

_ALL = "*"
_ADMISSION = "admissionregistration.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"
_READS = frozenset({"get", "list", "watch"})
#: By group, what a session would do that writes there.
_CLOSED = {
    _ADMISSION: "change admission, which nothing could police",
    _AUTHENTICATION: "impersonate others or review tokens",
    "certificates.k8s.io": "get certificates that outlive it",
    "rbac.authorization.k8s.io": "hand its rights on",
    names.GROUP: "start, approve or end sessions",
}
_ADMISSION_RESOURCES = frozenset(
    {
        *admission.RESOURCES,
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    }
)
_IMPERSONATING = ("impersonate:", "impersonate-on:")
#: Requests that have no name when RBAC is asked about them.
_NAMELESS = ("create", "deletecollection")


def in_rules(rules: Iterable[PolicyRule]) -> Iterator[tuple[PolicyRule, str]]:
    """Yield the inline rules that are not granted, each with the reason, which ends a sentence about the session."""
    for rule in rules:
        reason = _closed_to(rule)
        if reason is not None:
            yield rule, reason


def in_role(rules: Iterable[PolicyRule]) -> Iterator[tuple[PolicyRule, str]]:
    """Yield the rules of a role that no guard could police, each with the reason."""
    for rule in rules:
        if _writes(rule) and _changes_admission(rule):
            yield rule, f"a session could {_CLOSED[_ADMISSION]}"
        elif any(verb.startswith(_IMPERSONATING) for verb in rule.verbs):
            yield rule, "a session could impersonate others"


def _closed_to(rule: PolicyRule) -> str | None:
    verbs = set(rule.verbs)
    if "impersonate" in verbs or any(verb.startswith(_IMPERSONATING) for verb in verbs):
        return "a session could impersonate others"
    if verbs & {"bind", "escalate"}:
        return f"a session could {_CLOSED['rbac.authorization.k8s.io']}"
    if _writes(rule):
        for group, harm in _CLOSED.items():
            if group in rule.api_groups:
                return f"a session could {harm}"
        if _ALL in rule.api_groups:
            return "every API group is among its own, RBAC and admission too: name the groups"
    nameless = [verb for verb in _NAMELESS if verb in verbs]
    # A subresource is created on an object that has a name.
    if rule.resource_names and nameless and any("/" not in resource for resource in rule.resources):
        return f"RBAC knows no name at {' or '.join(nameless)}, so with resourceNames it would grant nothing"
    return None


def _writes(rule: PolicyRule) -> bool:
    return not set(rule.verbs) <= _READS


def _changes_admission(rule: PolicyRule) -> bool:
    if _ADMISSION in rule.api_groups:
        return True
    resources = {resource.partition("/")[0] for resource in rule.resources}
    return _ALL in rule.api_groups and not resources.isdisjoint({_ALL, *_ADMISSION_RESOURCES})
