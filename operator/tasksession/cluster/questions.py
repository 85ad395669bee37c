"""The questions asked of the API server before a grant and in re-checks: who may, what is there, what we hold.

The engine asks and hands the answers to policy. A question that gets no answer raises, or LookupError where the answer
is too large to be read: no answer is never a yes.
Sessions that ask the same at the same time share a request; none gets an answer from before it asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from tasksession.api import names
from tasksession.api.access import PolicyRule, RoleReference
from tasksession.api.fragment import problem_of
from tasksession.api.users import Requester
from tasksession.cluster import paths
from tasksession.cluster.client import Client, Object
from tasksession.cluster.single_flight import SingleFlight
from tasksession.guards.values import CEILING_ROLE
from tasksession.policy.facts import Ceiling, RoleFact

#: How long the ceiling, and the operator's own rights in a namespace, are remembered. They change when the chart does;
#: a write that goes beyond them is refused by the API server in any case.
_OWN_RULES_SECONDS = 30.0


class Questions:
    """Asks through one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._shared = SingleFlight()
        self._own_rules: dict[str, tuple[float, tuple[PolicyRule, ...]]] = {}
        self._ceiling: tuple[float, Ceiling] | None = None

    async def own_username(self) -> str:
        """The name under which the API server knows this operator."""
        review = await self._client.create(
            paths.collection("SelfSubjectReview"),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        name: str = review["status"]["userInfo"]["username"]
        return name

    async def may_use(self, requester: Requester, *, policy: str, namespace: str) -> bool:
        """Whether the requester holds the verb `use` on a policy in a namespace."""
        key = ("use", requester.username, requester.uid, tuple(requester.groups), policy, namespace)
        return await self._shared.ask(key, lambda: self._ask_use(requester, policy, namespace))

    async def _ask_use(self, requester: Requester, policy: str, namespace: str) -> bool:
        review = await self._client.create(
            paths.collection("SubjectAccessReview"),
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": requester.username,
                    "uid": requester.uid,
                    "groups": list(requester.groups),
                    "resourceAttributes": {
                        "group": names.GROUP,
                        "resource": paths.plural("SessionPolicy"),
                        "name": policy,
                        "namespace": namespace,
                        "verb": "use",
                    },
                },
            },
        )
        status = _whole(review).get("status") or {}
        undecided = status.get("allowed") is not True and status.get("denied") is not True
        if undecided and status.get("evaluationError"):
            # With several authorizers, one that fails while none allows is no answer: the failed one might have.
            raise LookupError("an authorizer failed")
        return status.get("allowed") is True

    async def namespace(self, name: str) -> Object | None:
        """The Namespace object, None where it does not exist."""
        return await self._find("Namespace", name)

    async def policy(self, name: str) -> Object | None:
        """The SessionPolicy object, None where it does not exist."""
        return await self._find("SessionPolicy", name)

    async def _find(self, kind: str, name: str) -> Object | None:
        found = await self._shared.ask((kind, name), lambda: self._client.find(paths.one(kind, None, name)))
        return None if found is None else _whole(found)

    async def role(self, reference: RoleReference, namespace: str) -> RoleFact:
        """A role as it stands: its rules, or None where it does not exist."""
        where = namespace if reference.kind == "Role" else None
        key = (reference.kind, where, reference.name)
        return await self._shared.ask(key, lambda: self._read_role(reference, where))

    async def _read_role(self, reference: RoleReference, where: str | None) -> RoleFact:
        found = await self._client.find(paths.one(reference.kind, where, reference.name))
        if found is None:
            return RoleFact(rules=None)
        problem = problem_of(found)
        if problem is not None:
            return RoleFact(rules=None, problem=problem)
        listed = found.get("rules") or ()
        return RoleFact(
            rules=tuple(_rule(rule) for rule in listed if not rule.get("nonResourceURLs")),
            has_urls=any(rule.get("nonResourceURLs") for rule in listed),
        )

    async def ceiling(self) -> Ceiling:
        """What sessions may have at most, as the chart wrote it into a ClusterRole; nothing where that does not exist.

        What the operator holds for its own work is not in it, so that nobody is granted that.
        """
        known = self._ceiling
        if known is not None and time.monotonic() - known[0] < _OWN_RULES_SECONDS:
            return known[1]
        return await self._shared.ask(("ceiling",), self._read_ceiling)

    async def _read_ceiling(self) -> Ceiling:
        found = await self._client.find(paths.one("ClusterRole", None, CEILING_ROLE))
        ceiling = ceiling_of((found or {}).get("rules") or ())
        self._ceiling = (time.monotonic(), ceiling)
        return ceiling

    async def own_rules(self, namespace: str) -> tuple[PolicyRule, ...]:
        """What this operator itself may do in a namespace.

        The answer is often called incomplete, because other authorizers than RBAC cannot list rules. RBAC's own part
        is whole, and it alone is what the API server's escalation check looks at.
        """
        known = self._own_rules.get(namespace)
        if known is not None and time.monotonic() - known[0] < _OWN_RULES_SECONDS:
            return known[1]
        return await self._shared.ask(("own rules", namespace), lambda: self._ask_own_rules(namespace))

    async def _ask_own_rules(self, namespace: str) -> tuple[PolicyRule, ...]:
        review = await self._client.create(
            paths.collection("SelfSubjectRulesReview"),
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectRulesReview",
                "spec": {"namespace": namespace},
            },
        )
        # Who may bind Roles in the namespace decides how long this answer is. One that is not read holds nothing: taken
        # for no answer, it would keep every re-check there from ending a session.
        answer = review if problem_of(review) is None else {}
        rules = tuple(_rule(rule) for rule in (answer.get("status") or {}).get("resourceRules") or ())
        now = time.monotonic()
        self._own_rules = {
            name: entry for name, entry in self._own_rules.items() if now - entry[0] < _OWN_RULES_SECONDS
        }
        self._own_rules[namespace] = (now, rules)
        return rules


def ceiling_of(rules: Iterable[Mapping[str, Any]]) -> Ceiling:
    """Read the rules of the ceiling's ClusterRole: `bind` names the ClusterRoles, and is itself never handed out."""
    cluster_roles: set[str] = set()
    granted: list[PolicyRule] = []
    for each in rules:
        rule = _rule(each)
        if "bind" not in rule.verbs:
            granted.append(rule)
        elif rule.resources == ("clusterroles",):
            cluster_roles.update(rule.resource_names)
    return Ceiling(cluster_roles=frozenset(cluster_roles), rules=tuple(granted))


def _whole(answer: Object) -> Object:
    """Return an answer that was read; LookupError for one that was not: what it leaves out is no answer."""
    problem = problem_of(answer)
    if problem is not None:
        raise LookupError(f"the answer is not read, because {problem}")
    return answer


def _rule(rule: Mapping[str, Any]) -> PolicyRule:
    return PolicyRule(
        api_groups=tuple(rule.get("apiGroups") or ()),
        resources=tuple(rule.get("resources") or ()),
        resource_names=tuple(rule.get("resourceNames") or ()),
        verbs=tuple(rule.get("verbs") or ()),
    )
