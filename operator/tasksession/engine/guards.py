"""Whether the guards, the admission policies that hold the operator and everyone else to the rules, are in force.

The watch and the sweep feed it; the reconciler asks it before each grant. Not listed yet, missing, not bound, or
bound so that it would not refuse: nothing is granted. It never ends a live session: the API server's other limits
and the deadline still hold for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: From the plural of a binding's resource to its policy's.
_POLICY_OF_BINDING = {
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
}
_PLURAL_OF_KIND = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}
_PLURALS = frozenset(_POLICY_OF_BINDING) | frozenset(_POLICY_OF_BINDING.values())


class Guards:
    """The admission policies and bindings seen, compared with those that have to be there."""

    def __init__(self, expected: Iterable[tuple[str, str]]) -> None:
        """`expected`: kind and name of each policy."""
        self._expected = tuple((_PLURAL_OF_KIND[kind], name) for kind, name in expected)
        self._seen: dict[tuple[str, str], dict[str, Any]] = {}
        self._listed = False
        self.changes = 0
        """How many events were taken in: a listing that one of them came into is not to be believed."""

    @staticmethod
    def concerns(plural: str) -> bool:
        """Whether a resource is one that guards are made of."""
        return plural in _PLURALS

    def see(self, plural: str, item: dict[str, Any]) -> None:
        """Take in a policy or binding."""
        self.changes += 1
        self._seen[plural, item["metadata"]["name"]] = {
            "uid": item["metadata"].get("uid"),
            "deleting": item["metadata"].get("deletionTimestamp") is not None,
            "spec": item.get("spec") or {},
        }

    def lose(self, plural: str, item: dict[str, Any]) -> None:
        """Take in that a policy or binding was deleted."""
        self.changes += 1
        key = (plural, item["metadata"]["name"])
        if key in self._seen and self._seen[key]["uid"] == item["metadata"].get("uid"):
            del self._seen[key]

    def replace(self, items: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Take in a full listing."""
        self._seen = {}
        for plural, item in items:
            self.see(plural, item)
        self._listed = True

    def missing(self) -> tuple[str, ...]:
        """Name every guard that is not in force; all of them until the first listing."""
        if not self._listed:
            return ("not listed yet",)
        return tuple(name for plural, name in self._expected if not self._in_force(plural, name))

    def _in_force(self, plural: str, name: str) -> bool:
        policy = self._seen.get((plural, name))
        if policy is None or policy["deleting"] or policy["spec"].get("failurePolicy", "Fail") != "Fail":
            return False
        return any(
            self._binds(kind, binding["spec"], plural, name)
            for (kind, _), binding in self._seen.items()
            if kind in _POLICY_OF_BINDING
        )

    @staticmethod
    def _binds(kind: str, spec: dict[str, Any], plural: str, name: str) -> bool:
        if _POLICY_OF_BINDING[kind] != plural or spec.get("policyName") != name:
            return False
        if _narrows(spec.get("matchResources") or {}):
            return False
        return plural != "validatingadmissionpolicies" or "Deny" in (spec.get("validationActions") or ())


def _narrows(match: dict[str, Any]) -> bool:
    """Whether a binding leaves out any request that its policy is for."""
    selectors = (match.get("namespaceSelector") or {}, match.get("objectSelector") or {})
    return any(selectors) or bool(match.get("excludeResourceRules")) or bool(match.get("resourceRules"))
