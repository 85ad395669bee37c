"""A namespace with a policy and a requester, and the questions that tests ask about sessions in it.

Used by all suites in which an operator runs. Everything is read from the API server; the operator is never asked about
itself.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.cluster import Cluster
from tests.cluster.operator_process import NAMESPACE as OPERATOR_NAMESPACE
from tests.cluster.operator_process import SERVICE_ACCOUNT, OperatorProcess, operator_kubeconfig
from tests.cluster.rights import wait_until_holds
from tests.cluster.waiting import wait_for

REQUESTER = "jane"
SESSIONS = "/apis/tasksession.dev/v1alpha1"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{SERVICE_ACCOUNT}"

CEILING = {
    "clusterRoles": ["view"],
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}],
}
_CREATES_SESSIONS = {"apiGroups": ["tasksession.dev"], "resources": ["tasksessions"], "verbs": ["create"]}
_CREATES_JOBS = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
FINAL = ("Completed", "Failed", "Expired", "Revoked", "Denied")

_COLLECTIONS = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Event": "/api/v1/namespaces/{}/events",
}

POD: Object = {
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 2,
    "containers": [{"name": "task", "image": "task", "command": ["sleep", "3600"]}],
}


class World:
    """One namespace, one policy of its own, and Jane, who may use it."""

    def __init__(self, cluster: Cluster, *, pod: Object | None = None) -> None:
        self.cluster = cluster
        self.admin: Api = cluster.api
        self.jane: Api = self.admin.as_user(REQUESTER, groups=["system:authenticated"])
        self.pod = pod or POD
        name = f"t-{secrets.token_hex(4)}"
        self.namespace = name
        self.policy = name
        self._audit_mark = name.encode()
        self._audit_offset = 0
        self._audit_lines: list[bytes] = []
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self.set_policy()
        self.let_use()
        self.admin.apply(_binding("requests", name, "tasksession-requester", REQUESTER), namespace=name)
        self.admin.apply(_binding("edits", name, "edit", REQUESTER), namespace=name)
        wait_until_holds(self.jane, name, [_CREATES_SESSIONS, _CREATES_JOBS])

    # People and policy

    def set_policy(self, **spec: Any) -> None:
        """Write the policy anew: by default the view role and one ConfigMap, half an hour at most."""
        body = {
            "apiVersion": "tasksession.dev/v1alpha1",
            "kind": "SessionPolicy",
            "metadata": {"name": self.policy},
            "spec": {
                "namespaces": {"names": [self.namespace]},
                "access": {
                    "roles": [{"kind": "ClusterRole", "name": "view"}],
                    "rules": [
                        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"],
                         "resourceNames": ["triage"]}
                    ],
                },
                "maxTTL": "30m",
                **spec,
            },
        }  # fmt: skip
        self.admin.apply(body)

    def let_use(self) -> None:
        """Give Jane the verb `use` on the policy, in this namespace."""
        role: Object = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "use-policy"},
            "rules": [
                {"apiGroups": ["tasksession.dev"], "resources": ["sessionpolicies"],
                 "resourceNames": [self.policy], "verbs": ["use"]}
            ],
        }  # fmt: skip
        binding = _binding("uses-policy", self.namespace, "use-policy", REQUESTER, kind="Role")
        self.admin.apply([role, binding], namespace=self.namespace)
        wait_until_holds(self.jane, self.namespace, role["rules"])

    def take_use(self) -> None:
        """Take the verb `use` from Jane."""
        self.admin.delete(self.path("RoleBinding", "uses-policy"))

    def bind(self, name: str, *, role: str, user: str) -> None:
        """Bind a ClusterRole to somebody else in this namespace."""
        self.admin.apply(_binding(name, self.namespace, role, user), namespace=self.namespace)

    # Sessions

    def manifest(self, name: str, **spec: Any) -> Object:
        """Build a TaskSession with a Job; keywords replace fields of its spec."""
        return {
            "apiVersion": "tasksession.dev/v1alpha1",
            "kind": "TaskSession",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "policy": self.policy,
                "ttl": "5m",
                "reason": "CHG-1",
                "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]},
                "task": {"jobTemplate": {"spec": self.job_spec()}},
                **spec,
            },
        }

    def job_spec(self, **changes: Any) -> Object:
        """Build the spec of a Job with the world's pod."""
        return {"backoffLimit": 0, "template": {"spec": copy.deepcopy(self.pod)}, **changes}

    def request(self, name: str, *, by: Api | None = None, **spec: Any) -> Object:
        """Create a TaskSession as Jane."""
        return (by or self.jane).create(self.sessions, self.manifest(name, **spec))

    @property
    def sessions(self) -> str:
        """The path of the namespace's TaskSessions."""
        return f"{SESSIONS}/namespaces/{self.namespace}/tasksessions"

    def session(self, name: str) -> Object:
        """Read a TaskSession."""
        return self.admin.get(f"{self.sessions}/{name}")

    def status(self, name: str) -> Object:
        """Read a TaskSession's status."""
        found: Object = self.session(name)["status"]
        return found

    def ready(self, name: str) -> Object:
        """Read the Ready condition."""
        return next(c for c in self.status(name)["conditions"] if c["type"] == "Ready")

    def wait_state(self, name: str, *states: str, timeout: float = 20) -> Object:
        """Wait until a session is in one of these states; returns its status."""

        def probe() -> Object | None:
            status = self.status(name)
            if status["state"] not in states and status["state"] in FINAL:
                raise AssertionError(f"{name} is {status['state']}, not {states}: {self.ready(name)['message']}")
            return status if status["state"] in states else None

        return wait_for(probe, timeout=timeout, what=f"{name} to be {' or '.join(states)}")

    def wait_reason(self, name: str, reason: str, timeout: float = 20) -> str:
        """Wait until a session's Ready condition has a reason; returns its message."""
        wait_for(
            lambda: any(c["type"] == "Ready" and c["reason"] == reason for c in self.status(name)["conditions"]),
            timeout=timeout,
            what=f"{name} to be {reason}",
        )
        return str(self.ready(name)["message"])

    def revoke(self, name: str) -> None:
        """Set spec.revoked as Jane."""
        self.jane.patch(f"{self.sessions}/{name}", {"spec": {"revoked": True}})

    # What exists

    def path(self, kind: str, name: str = "") -> str:
        """The path of a kind's objects in this namespace, or of one."""
        root = _COLLECTIONS[kind].format(self.namespace)
        return f"{root}/{name}" if name else root

    def children(self, kind: str) -> list[str]:
        """Name the objects of a kind that belong to sessions; a Job is a timer here."""
        return [item["metadata"]["name"] for item in self.admin.list(self.path(kind))
                if item["metadata"]["name"].startswith("ts-")]  # fmt: skip

    def all_children(self) -> dict[str, list[str]]:
        """Name everything that belongs to sessions, by kind, kinds without any left out."""
        found = {kind: self.children(kind) for kind in ("RoleBinding", "ServiceAccount", "Role", "Job")}
        return {kind: names for kind, names in found.items() if names}

    def wait_nothing_left(self, timeout: float = 20) -> None:
        """Wait until no ServiceAccount, Role, RoleBinding or timer of any session is left."""
        wait_for(lambda: not self.all_children(), timeout=timeout, what="nothing of the session to be left")

    def exists(self, kind: str, name: str) -> bool:
        """Whether an object exists."""
        return self.admin.find(self.path(kind, name)) is not None

    def allowed(self, service_account: str, path: str) -> bool:
        """Whether the API server lets an identity read a path: its rights, without its token."""
        try:
            self.admin.as_service_account(self.namespace, service_account).get(path)
        except ApiError as error:
            if error.status == 404:
                return True
            if error.status != 403:
                raise
            return False
        return True

    def wait_refused(self, service_account: str, timeout: float = 10) -> None:
        """Wait until an identity may not read ConfigMaps any more."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/any"
        wait_for(lambda: not self.allowed(service_account, path), timeout=timeout, what="the rights to be gone")

    @staticmethod
    def refusal_of(call: Callable[[], Any]) -> ApiError | None:
        """Make a call; returns its refusal, None where it was let through."""
        try:
            call()
        except ApiError as error:
            return error
        return None

    def has_rights(self, service_account: str) -> bool:
        """Whether an identity holds the view role's rights now."""
        return self.allowed(service_account, f"/api/v1/namespaces/{self.namespace}/configmaps/any")

    @contextmanager
    def without_guards(self, *guards: str) -> Iterator[None]:
        """Take bindings of guards away for a moment, to bring about what they prevent."""
        root = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
        kept = [self.admin.get(f"{root}/tasksession-{guard}") for guard in guards]
        for binding in kept:
            self.admin.delete(f"{root}/{binding['metadata']['name']}")
        try:
            # A policy goes out of force some hundred milliseconds after its binding.
            wait_for(self._names_are_free, timeout=10, what="the guards to be out of force")
            yield
        finally:
            for binding in kept:
                metadata = {key: binding["metadata"].get(key) for key in ("name", "labels", "annotations")}
                self.admin.create(root, {**binding, "metadata": metadata})
            wait_for(lambda: not self._names_are_free(), timeout=10, what="the guards to be in force again")

    def _names_are_free(self) -> bool:
        name = "ts-00000000-0000-0000-0000-000000000000-4000000000"
        try:
            self.admin.create(self.path("ServiceAccount"), {"metadata": {"name": name}}, dryRun="All")
        except ApiError:
            return False
        return True

    # The Job controller's and the kubelet's part, where there is no node

    def pod_of(self, job: str, timeout: float = 15) -> Object:
        """Wait for the pod of a Job."""
        selector = f"batch.kubernetes.io/job-name={job}"

        def probe() -> Object | None:
            pods = self.admin.list(self.path("Pod"), labelSelector=selector)
            return pods[0] if pods else None

        return wait_for(probe, timeout=timeout, what=f"a pod of Job {job}")

    def finish_pod(self, job: str, phase: str = "Succeeded") -> None:
        """Say what a kubelet would say of a pod that ended."""
        name = self.pod_of(job)["metadata"]["name"]
        self.admin.patch(self.path("Pod", name) + "/status", {"status": {"phase": phase}})

    def finish_pods(self, prefix: str, *, count: int) -> None:
        """Say what a kubelet would say of the pods of all Jobs whose names begin so, once there are so many."""

        def pods() -> list[str] | None:
            found = [item["metadata"]["name"] for item in self.admin.list(self.path("Pod"))]
            named = [name for name in found if name.startswith(f"tasksession-{prefix}")]
            return named if len(named) >= count else None

        for name in wait_for(pods, timeout=60, what=f"{count} pods of {prefix}", interval=0.5):
            self.admin.patch(self.path("Pod", name) + "/status", {"status": {"phase": "Succeeded"}})

    # The operator

    def operator(self, folder: Path, *, arguments: Sequence[str] = (), preload: bool = True) -> OperatorProcess:
        """Prepare an operator for this namespace alone."""
        kubeconfig = operator_kubeconfig(self.admin, folder / "kubeconfig")
        return OperatorProcess(
            kubeconfig=kubeconfig,
            folder=folder,
            namespaces=[self.namespace],
            arguments=list(arguments),
            record=self.operator_record(),
            preload=preload,
        )

    def operator_record(self) -> Path:
        """Return a file for an operator's record that is the cluster's: what ends the cluster ends the operator."""
        return self.cluster.folder / "pids" / f"operator-{self.namespace}-{secrets.token_hex(2)}"

    def writes(self) -> list[tuple[str, str]]:
        """Read the operator's writes in this namespace from the audit log: verb and resource; no Events, no Lease."""
        return [(entry["verb"], entry["resource"]) for entry in self.write_entries()]

    def write_entries(self) -> list[dict[str, str]]:
        """Read the operator's writes in this namespace from the audit log, with names, in the order of arrival."""
        found = []
        for line in self._audited():
            entry = json.loads(line)
            reference = entry.get("objectRef") or {}
            resource = reference.get("resource", "")
            if entry["user"]["username"] != OPERATOR_USER or entry.get("stage") != "ResponseComplete":
                continue
            if entry["verb"] not in ("create", "update", "patch", "delete", "deletecollection"):
                continue
            if resource in ("events", "leases") or reference.get("namespace") != self.namespace:
                continue
            if "subresource" in reference:
                resource = f"{resource}/{reference['subresource']}"
            found.append(
                {
                    "verb": entry["verb"],
                    "resource": resource,
                    "name": reference.get("name", ""),
                    "time": entry["requestReceivedTimestamp"],
                }
            )
        return sorted(found, key=lambda entry: entry["time"])

    def _audited(self) -> list[bytes]:
        """Read the audit log's lines about this namespace, and keep them: the log is the whole control plane's."""
        with self.cluster.audit_log.open("rb") as log:
            log.seek(self._audit_offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._audit_offset += len(line)
                if self._audit_mark in line:
                    self._audit_lines.append(line)
        return self._audit_lines

    def close(self) -> None:
        """Delete the namespace and the policy."""
        for path in (f"{SESSIONS}/sessionpolicies/{self.policy}", f"/api/v1/namespaces/{self.namespace}"):
            refused = self.refusal_of(lambda path=path: self.admin.delete(path))  # type: ignore[misc]
            # A test may have deleted either, or have begun to.
            assert refused is None or refused.status in (404, 409), refused


def _binding(name: str, namespace: str, role: str, user: str, *, kind: str = "ClusterRole") -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def refusal(call: Callable[[], Any]) -> ApiError:
    """Make a call that has to be refused; returns the refusal."""
    try:
        call()
    except ApiError as error:
        return error
    raise AssertionError("the API server did not refuse")
