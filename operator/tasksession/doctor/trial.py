"""Tries what every session needs: an operator at work, guards in force, and admission that lets in and keeps out.

Called by the `check` command, which `helm test` runs with rights of its own. TaskSessions are created as dry runs: it
stores nothing, and grants nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasksession.api import names
from tasksession.cluster import paths
from tasksession.cluster.client import Client, Object
from tasksession.cluster.errors import ClusterError, Refused
from tasksession.cluster.expected_guards import GUARDS, UPSTREAM
from tasksession.cluster.questions import Questions
from tasksession.doctor.at_work import check_at_work
from tasksession.doctor.collecting import Collector
from tasksession.doctor.facts import Facts, Unread
from tasksession.doctor.finding import Finding, Severity
from tasksession.doctor.installation import check_guards

#: Nobody is let use a policy of this name.
_FORBIDDEN_POLICY = "tasksession-test-forbidden"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has to hold, or why it does not."""

    text: str
    holds: bool


class Trial:
    """The steps, each of which may be tried again."""

    def __init__(self, client: Client, *, operator_namespace: str, namespace: str, policy: str) -> None:
        self._client = client
        self._operator_namespace = operator_namespace
        self._namespace = namespace
        self._policy = policy

    async def steps(self) -> tuple[Step, ...]:
        """Try all of them once."""
        tried = []
        for attempt in (self._operator, self._guards, self._let_in, self._kept_out):
            try:
                tried.append(await attempt())
            except ClusterError as error:
                tried.append(_failed(_words(error)))
        return tuple(tried)

    async def _operator(self) -> Step:
        seen = await Collector(self._client).lease(self._operator_namespace)
        if isinstance(seen, Unread):
            return _failed(f"The operator's Lease could not be read: {seen.reason}")
        for finding in check_at_work(Facts(lease=seen)):
            return _of_finding(finding)
        holder = str(((seen.lease or {}).get("spec") or {}).get("holderIdentity") or "")
        pod = await self._client.find(paths.one("Pod", seen.namespace, holder)) if holder else None
        if pod is None:
            return _failed(f"The Lease is held by {holder or 'nobody'}, which is no pod of namespace {seen.namespace}.")
        if not _is_ready(pod):
            advice = f"kubectl describe pod {holder} --namespace {seen.namespace} shows what its probe answers."
            return _failed(f"Pod {holder} holds the Lease and is not Ready. {advice}")
        return Step(f"an operator works: pod {holder} is Ready and holds the Lease", holds=True)

    async def _guards(self) -> Step:
        facts = Facts(guards=await Collector(self._client).guards())
        for finding in check_guards(facts, GUARDS, UPSTREAM, None):
            if finding.severity in (Severity.FAILURE, Severity.UNCHECKED):
                return _of_finding(finding)
        return Step(f"all {len(tuple(GUARDS))} guards are in force", holds=True)

    async def _let_in(self) -> Step:
        user = await Questions(self._client).own_username()
        made = await self._create(self._policy)
        requester: Mapping[str, Any] = (made.get("spec") or {}).get("requester") or {}
        if requester.get("username") != user:
            return _failed(f"A TaskSession of {user} is stamped with {requester.get('username')} as its requester.")
        text = f"a TaskSession in namespace {self._namespace} is let in, with {user} as its requester (dry run)"
        return Step(text, holds=True)

    async def _kept_out(self) -> Step:
        try:
            await self._create(_FORBIDDEN_POLICY)
        except Refused as error:
            if "'tasksession-use'" in error.message:
                return Step("a TaskSession whose policy its requester may not use is refused (dry run)", holds=True)
            raise
        return _failed(
            f"A TaskSession of SessionPolicy {_FORBIDDEN_POLICY} was let in: guard tasksession-use is off, or who asks "
            "may use every policy, as cluster administrators may. Run helm test, which asks as somebody small."
        )

    async def _create(self, policy: str) -> Object:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": "TaskSession",
            "metadata": {"name": "tasksession-test", "namespace": self._namespace},
            "spec": {"policy": policy, "reason": "dry run", "task": {"job": {"name": "tasksession-test"}}},
        }
        path = paths.collection("TaskSession", self._namespace)
        return await self._client.request("POST", path, body, query=[("dryRun", "All")])


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _of_finding(finding: Finding) -> Step:
    return _failed(f"{finding.subject}: {finding.problem} {finding.advice}".rstrip())


def _words(error: ClusterError) -> str:
    return error.message if isinstance(error, Refused) else f"the API server did not answer ({error})"


def _failed(text: str) -> Step:
    return Step(text, holds=False)
