"""Reads what the doctor judges by, with one client, in pages, and keeps only what a check looks at.

The command line has it read everything, the operator at its start what is cheap. It sends nothing but reads and the
reviews by which one asks for one's own name and rules; what is refused becomes an `Unread`, never an empty listing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tasksession.api import admission, names
from tasksession.api.fragment import problem_of
from tasksession.cluster import paths
from tasksession.cluster.client import Client, Object
from tasksession.cluster.errors import ClusterError, Missing, Refused
from tasksession.cluster.expected_guards import GUARD_LABEL
from tasksession.doctor.at_work import LEASE
from tasksession.doctor.facts import Facts, SeenLease, Unread, Unreadable, items, name_of, namespace_of, texts
from tasksession.doctor.operator_rights import operator_of

_DEFINITIONS = ("tasksessions", "sessionpolicies", "sessionapprovals")
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
#: Roles that are read one by one where they may not be listed.
_MOST_ROLES = 200

_Listed = tuple[Object, ...] | Unread


class Collector:
    """Reads for one examination."""

    def __init__(self, client: Client, *, only: Iterable[str] = ()) -> None:
        self._client = client
        self._only = tuple(only)
        self._unreadable: dict[Unreadable, None] = {}

    async def everything(self) -> Facts:
        """Read all that any check looks at."""
        facts = await self._shared(Facts(only=self._only))
        # Before the sessions: what is granted between the two listings must not seem to lack its children.
        sessions = await self._list("TaskSession")
        ours = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"
        facts = replace(
            facts,
            service_accounts=await self._list("ServiceAccount", _is_identity, label_selector=ours),
            api_servers=await self._list("Pod", label_selector="component=kube-apiserver", spaces=("kube-system",)),
            jobs=await self._list("Job", _is_marked),
            cron_jobs=await self._list("CronJob"),
            sessions=_in_both(sessions, await self._list("TaskSession")),
            lease=await self._lease(facts),
        )
        return replace(facts, unreadable=tuple(self._unreadable))

    async def at_start(self, operator_user: str) -> Facts:
        """Read, as the operator itself, what tells of its installation and its rights."""
        namespace = self._only[0] if self._only else "default"
        facts = Facts(only=self._only, operator_user=operator_user, own_rules=await self._own_rules(namespace))
        facts = await self._shared(facts, label_selector=f"{names.MANAGED_BY_LABEL}!={names.MANAGED_BY}")
        return replace(facts, unreadable=tuple(self._unreadable))

    async def _shared(self, facts: Facts, *, label_selector: str | None = None) -> Facts:
        """Read what both need. With the selector the API server leaves the objects of thousands of sessions out; the
        command line does without, since anybody can put such a label on a binding."""
        facts = replace(facts, cluster_role_bindings=await self._list("ClusterRoleBinding"))
        user = operator_of(facts) or ""
        spaces = [*self._only, *user.split(":")[2:3]] if self._only else []
        facts = replace(
            facts,
            guards=await self.guards(),
            definitions=await self._definitions(),
            admission_resources=await self._admission_resources(),
            roles=await self._list("Role", _is_no_sessions, label_selector=label_selector, spaces=spaces),
            role_bindings=await self._list(
                "RoleBinding", _is_no_sessions, label_selector=label_selector, spaces=spaces
            ),
            namespaces=await self._list("Namespace"),
            policies=await self._list("SessionPolicy"),
        )
        return replace(facts, cluster_roles=await self._cluster_roles(facts))

    async def _list(
        self,
        kind: str,
        keep: Callable[[Object], bool] = lambda _: True,
        *,
        label_selector: str | None = None,
        spaces: Iterable[str] = (),
    ) -> _Listed:
        """List a kind in the namespaces asked for, or everywhere; a kind that does not exist has no objects."""
        namespaced = paths.collection(kind, "x") != paths.collection(kind)
        places: list[str | None] = [*dict.fromkeys(tuple(spaces) or self._only)] if namespaced else []
        found: list[Object] = []
        try:
            for place in places or [None]:
                listing = self._client.list(paths.collection(kind, place), label_selector=label_selector)
                found.extend([item async for item in listing if keep(item) and self._is_read(kind, item)])
        except Missing:
            return ()
        except ClusterError as error:
            return _unread(error)
        return tuple(found)

    def _is_read(self, kind: str, item: Object) -> bool:
        """Note an object that is not read: what is absent in it may be there in the cluster."""
        problem = problem_of(item)
        if problem is not None:
            subject = "/".join(part for part in (namespace_of(item), name_of(item)) if part)
            self._unreadable[Unreadable(kind, subject, problem)] = None
        return problem is None

    async def guards(self) -> tuple[tuple[str, Object], ...] | Unread:
        """Read the guards' policies and bindings."""
        found: list[tuple[str, Object]] = []
        for kind in admission.KINDS:
            listed = await self._list(kind, lambda item: GUARD_LABEL in texts(item, "labels"))
            if isinstance(listed, Unread):
                return listed
            found.extend((paths.plural(kind), item) for item in listed)
        return tuple(found)

    async def _definitions(self) -> dict[str, Object | None] | Unread:
        found: dict[str, Object | None] = {}
        for plural in _DEFINITIONS:
            name = f"{plural}.{names.GROUP}"
            try:
                found[name] = await self._client.find(paths.one("CustomResourceDefinition", None, name))
            except ClusterError as error:
                return _unread(error)
        return found

    async def _admission_resources(self) -> tuple[str, ...] | Unread:
        try:
            answer = await self._client.get(_ADMISSION)
        except Missing:
            return ()
        except ClusterError as error:
            return _unread(error)
        return tuple(str(each["name"]) for each in answer.get("resources") or ())

    async def _lease(self, facts: Facts) -> SeenLease | Unread:
        """The Lease in the namespace of the operator's ServiceAccount, which its binding names."""
        for namespace in (operator_of(facts) or "").split(":")[2:3]:
            return await self.lease(namespace)
        return Unread("Nobody can say where the operator is, because no binding that could be read names it.")

    async def lease(self, namespace: str) -> SeenLease | Unread:
        """Read the operator's Lease in a namespace."""
        try:
            found = await self._client.find(paths.one("Lease", namespace, LEASE))
        except ClusterError as error:
            return _unread(error)
        problem = problem_of(found or {})
        if problem is not None:
            return Unread(f"The Lease is not read, because {problem}.")
        if not self._client.clock.is_known:
            return Unread("The API server does not tell its time, so nobody can say how old the Lease is.")
        return SeenLease(namespace, found, self._client.clock.now())

    async def _own_rules(self, namespace: str) -> _Listed:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        try:
            review = await self._client.create(paths.collection("SelfSubjectRulesReview"), body)
        except ClusterError as error:
            return _unread(error)
        return tuple((review.get("status") or {}).get("resourceRules") or ())

    async def _cluster_roles(self, facts: Facts) -> _Listed:
        """All ClusterRoles, or, where they may not be listed, those that are bound or may be."""
        listed = await self._list("ClusterRole")
        if not isinstance(listed, Unread):
            return listed
        bindings = (*items(facts.cluster_role_bindings), *items(facts.role_bindings))
        wanted = {each["roleRef"]["name"] for each in bindings if each["roleRef"]["kind"] == "ClusterRole"}
        wanted |= {name for rule in items(facts.own_rules) if "bind" in rule["verbs"] for name in _names_in(rule)}
        found: list[Object] = []
        for name in sorted(wanted)[:_MOST_ROLES]:
            try:
                role = await self._client.get(paths.one("ClusterRole", None, name))
            except Missing:
                continue
            except ClusterError:
                return listed
            if self._is_read("ClusterRole", role):
                found.append(role)
        return tuple(found)


def _names_in(rule: Mapping[str, Any]) -> Iterable[str]:
    named: Iterable[str] = rule.get("resourceNames") or ()
    return named


def _is_no_sessions(item: Object) -> bool:
    return names.identity_of_binding(name_of(item)) is None


def _is_identity(item: Object) -> bool:
    return names.parse_identity(name_of(item)) is not None


def _is_marked(item: Object) -> bool:
    annotations = texts(item, "annotations")
    asks = names.POLICY_ANNOTATION in annotations or names.SESSION_ANNOTATION in annotations
    return asks or _is_identity(item)


def _in_both(before: _Listed, after: _Listed) -> _Listed:
    """Sessions that had one identity from the first listing to the second: the others are just beginning or ending."""
    if isinstance(before, Unread) or isinstance(after, Unread):
        return after
    known = {(item["metadata"]["uid"], (item.get("status") or {}).get("serviceAccountName")) for item in before}
    return tuple(
        item
        for item in after
        if (item["metadata"]["uid"], (item.get("status") or {}).get("serviceAccountName")) in known
    )


def _unread(error: ClusterError) -> Unread:
    words = error.message if isinstance(error, Refused) else f"the API server did not answer ({error})"
    return Unread(f"{words.rstrip('.')}.")
