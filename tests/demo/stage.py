"""Where the demo plays: a cluster with the chart and an operator, the example's manifests, and a session's token.

Used by the demo alone. The example is applied as it is in the repository, but for the image of its pods and, on the
project's own node, for what that node cannot pull. A token is read only to be tried; it is never printed.
"""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Cluster
from tests.cluster.api import Api, ApiError, Object, objects
from tests.cluster.existing import ExistingCluster
from tests.cluster.image import TASK_IMAGE
from tests.cluster.installation import install, uninstall
from tests.cluster.operator_image import cached_archive, why_not
from tests.cluster.operator_process import NAMESPACE as OPERATOR_NAMESPACE
from tests.cluster.operator_process import OperatorProcess, operator_kubeconfig
from tests.cluster.ports import free_ports
from tests.cluster.waiting import wait_for

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "quickstart"
NAMESPACE = "support"
REQUESTER = "jane"
CEILING = {
    "clusterRoles": ["view"],
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}],
}
SESSIONS = f"/apis/tasksession.dev/v1alpha1/namespaces/{NAMESPACE}/tasksessions"
_PREFIXES = {
    "ServiceAccount": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    "Role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
    "timer": f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs",
}


class NotOurs(Exception):
    """The cluster has something already that the demo would have to touch."""


class Stage:
    """A cluster that is ready for the example."""

    def __init__(self, cluster: Cluster, *, image: str, task_image: str | None) -> None:
        self.cluster = cluster
        self.api: Api = cluster.api
        self.node = cluster.node
        self._yours = isinstance(cluster, ExistingCluster)
        self._task_image = task_image or (None if self._yours else TASK_IMAGE)
        self._operator: OperatorProcess | None = None
        #: Whether the operator is the chart's Deployment; on a simulated node nothing would run in its pod.
        self.deployed = self._yours or (self.node == "real" and why_not() is None)
        operator: dict[str, Any] = {"create": self.deployed}
        if self._yours:
            operator |= {"image": image}
        elif self.deployed:
            # The one node's pods reach the API server by its own network only, and it can pull nothing.
            port = free_ports(1, taken=set())[0]
            operator |= {"hostNetwork": True, "replicas": 1, "probePort": port, "imagePullPolicy": "Never"}
        self._values = {"ceiling": CEILING, "operator": operator}

    @property
    def how_to_read_the_log(self) -> str:
        """The command that follows the operator's log."""
        if self._operator is not None:
            return f"tail -f {self._operator.log}"
        return f"{self.cluster.kubectl} logs -f deployment/tasksession-operator -n {OPERATOR_NAMESPACE}"

    def refuse_what_is_not_ours(self) -> None:
        """On a cluster of yours, begin only where nothing stands that the demo would remove at its end."""
        if not self._yours:
            return
        definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tasksessions.tasksession.dev"
        for path, what in (
            (f"/api/v1/namespaces/{NAMESPACE}", f"a namespace {NAMESPACE}"),
            (f"/api/v1/namespaces/{OPERATOR_NAMESPACE}", f"a namespace {OPERATOR_NAMESPACE}"),
            (definition, "TaskSession"),
        ):
            if self.api.find(path) is not None:
                raise NotOurs(
                    f"the cluster has {what} already, and the demo removes its own at the end: remove it first"
                )

    def rights(self, identity: str) -> bool:
        """Whether the API server lets an identity read in the namespace now, whoever holds its token."""
        try:
            self.api.as_service_account(NAMESPACE, identity).get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/triage")
        except ApiError as error:
            if error.status != 403:
                raise
            return False
        return True

    def install(self) -> None:
        """Install the chart: custom resources, RBAC, guards, and the Deployment where pods are real."""
        if self.deployed and not self._yours:
            self.cluster.import_image(cached_archive())
        install(self.cluster, values=self._values)

    def start_operator(self) -> None:
        """Wait for the chart's Deployment, or start a local process with a token of the operator's ServiceAccount."""
        if self.deployed:
            where = ["deployment/tasksession-operator", "--namespace", OPERATOR_NAMESPACE]
            self.kubectl("rollout", "status", *where, "--timeout", "110s")
            return
        folder = self.cluster.folder
        kubeconfig = operator_kubeconfig(self.api, folder / "operator.kubeconfig")
        self._operator = OperatorProcess(kubeconfig=kubeconfig, folder=folder, record=folder / "pids" / "operator")
        self._operator.start()

    def close(self) -> None:
        """Stop the operator; on a cluster of yours, remove everything that the demo brought."""
        if self._operator is not None:
            self._operator.stop()
        if self._yours:
            self.kubectl("delete", "--ignore-not-found", "-f", str(EXAMPLE / "1-policy.yaml"))
            uninstall(self.cluster, values=self._values)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl as the administrator; returns what it printed."""
        command = [str(self.cluster.kubectl), "--kubeconfig", str(self.cluster.kubeconfig), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def apply(self, file: str, *, by: str | None = None) -> str:
        """Apply one of the example's files as it would be on this cluster; `by` impersonates a user."""
        manifests = [self._on_this_node(item) for item in objects(EXAMPLE / file)]
        user = ["--as", by, "--as-group", "system:authenticated"] if by else []
        return self.kubectl("apply", *user, "-f", "-", given=yaml.safe_dump_all(manifests))

    def _on_this_node(self, item: Object) -> Object:
        if item["kind"] != "TaskSession":
            return item
        made = copy.deepcopy(item)
        template = made["spec"]["task"]["jobTemplate"]["spec"]["template"]
        if self._task_image is not None:
            for container in template["spec"]["containers"]:
                container["image"] = self._task_image
                container["imagePullPolicy"] = "IfNotPresent" if self._yours else "Never"
        if self.node == "kwok":
            seconds = "6s" if made["metadata"]["name"] == "triage" else "1h"
            template.setdefault("metadata", {}).setdefault("annotations", {})["simulated/runs-for"] = seconds
        return made

    def status(self, name: str) -> dict[str, Any]:
        """Read a TaskSession's status."""
        found: dict[str, Any] = self.api.get(f"{SESSIONS}/{name}")["status"]
        return found

    def wait_state(self, name: str, *states: str, timeout: float = 60) -> dict[str, Any]:
        """Wait until a session is in one of these states."""

        def probe() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status["state"] in states else None

        return wait_for(probe, timeout=timeout, what=f"TaskSession {name} to be {' or '.join(states)}")

    def children(self) -> list[str]:
        """Name everything that belongs to sessions: identities, rights, timers."""
        return [
            f"{kind} {item['metadata']['name']}"
            for kind, path in _PREFIXES.items()
            for item in self.api.list(path)
            if item["metadata"]["name"].startswith("ts-")
        ]

    def pod(self, job: str, *, phases: tuple[str, ...] = ("Running", "Succeeded")) -> Object:
        """Wait for the pod of a Job to be in one of these phases."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"

        def probe() -> Object | None:
            pods = self.api.list(path, labelSelector=f"batch.kubernetes.io/job-name={job}")
            return pods[0] if pods and pods[0].get("status", {}).get("phase") in phases else None

        return wait_for(probe, timeout=60, what=f"the pod of Job {job} to run")

    def token_of(self, pod: Object) -> str | None:
        """Obtain a pod's own token, to try it from outside: None on a cluster of yours, where nobody may have it.

        On the real node it is the file that the kubelet wrote for the pod. On the simulated one it is what that node's
        own certificate may ask for.
        """
        uid = pod["metadata"]["uid"]
        if self.node == "real":
            volume = f"node/kubelet/pods/{uid}/volumes/kubernetes.io~projected/tasksession/token"
            return wait_for(lambda: _read(self.cluster.folder / volume), timeout=30, what="the pod's token")
        if self.node == "kwok":
            return self._node_token(pod)
        return None

    def _node_token(self, pod: Object) -> str:
        node = pod["spec"]["nodeName"]
        kubelet = Api.from_kubeconfig(self.cluster.issue_client_certificate(f"system:node:{node}", ["system:nodes"]))
        metadata = pod["metadata"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        request = {"spec": {"expirationSeconds": 600, "boundObjectRef": bound}}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{pod['spec']['serviceAccountName']}/token"
        # The node's authorizer learns of a new pod a moment after it is bound.
        answer = wait_for(
            lambda: kubelet.create(path, request), timeout=10, what="the pod's token", ignoring=(ApiError,)
        )
        return str(answer["status"]["token"])

    def follow_logs(self, pod: str) -> subprocess.Popen[str]:
        """Follow a pod's log; the caller ends it."""
        command = [
            str(self.cluster.kubectl), "--kubeconfig", str(self.cluster.kubeconfig),
            "logs", "--follow", "--namespace", NAMESPACE, pod,
        ]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def attempts(api: Api, token: str) -> Iterator[tuple[str, bool, bool]]:
    """Try what the example asked for and what it did not: description, whether allowed, whether it should be."""
    session = api.with_token(token)
    root = f"/api/v1/namespaces/{NAMESPACE}"
    yield "read the ConfigMaps", _allowed(session, "GET", f"{root}/configmaps"), True
    patch = {"data": {"state": "seen"}}
    yield "change ConfigMap triage", _allowed(session, "PATCH", f"{root}/configmaps/triage", patch), True
    yield "read Secrets", _allowed(session, "GET", f"{root}/secrets"), False
    body = {"metadata": {"name": "other"}}
    yield "create a ConfigMap", _allowed(session, "POST", f"{root}/configmaps", body), False


def _allowed(session: Api, method: str, path: str, body: Object | None = None) -> bool:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    try:
        session.request(method, path, body=body, content_type=kind)
    except ApiError as error:
        if error.status not in (401, 403):
            raise
        return False
    return True
