"""A lane: a namespace with its people, a proxy, and an operator that works for this namespace alone, through the proxy.

Plans run in lanes side by side on one control plane, in each lane one after the other. A lane notices that its operator
was killed, checks what must hold while it is dead, and starts it again.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import Api, ApiError, Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess, operator_kubeconfig
from tests.cluster.waiting import Found
from tests.support import invariants
from tests.support.audit import AuditLog
from tests.support.proxy import FaultProxy, ProxyLoop
from tests.support.snapshot import Snapshot
from tests.support.world import World

NODE = "node-of-faults"
#: Often enough that a plan does not wait for it, and that a quiet window holds one.
SWEEP_SECONDS = 4
_INTERVAL = 0.2


class Ground:
    """What all lanes of a control plane share."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.proxies = ProxyLoop()
        self.audit = AuditLog(cluster.audit_log)
        self.certificate = cluster.plane.authority.issue_server("fault-proxy", hosts=["127.0.0.1"])
        cluster.api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        node = cluster.issue_client_certificate(f"system:node:{NODE}", ["system:nodes"])
        self.kubelet = Api.from_kubeconfig(node)

    def proxy(self) -> FaultProxy:
        """Open another port."""
        return FaultProxy(
            self.proxies, upstream=self.cluster.url, authority=self.cluster.ca, certificate=self.certificate
        )

    def close(self) -> None:
        """End the proxies' thread."""
        self.kubelet.close()
        self.proxies.close()


class Lane:
    """One namespace under test."""

    def __init__(self, ground: Ground, folder: Path, *, arguments: tuple[str, ...] = (), preload: bool = True) -> None:
        """`preload`: its operators' modules are imported already; not where the environment is to change them."""
        self._preload = preload
        self.ground = ground
        self.world = World(ground.cluster)
        self.admin: Api = ground.cluster.api
        self.namespace = self.world.namespace
        self.proxy = ground.proxy()
        self.operator = self.another_operator(folder, self.proxy, arguments=arguments)
        self.proxy.kill = lambda: self.operator.signal(signal.SIGKILL)
        self.proxy.terminate = lambda: self.operator.signal(signal.SIGTERM)
        self.violations: list[str] = []
        self.restarts = 0
        self._pods_ended = 0.0
        self.start_lag = invariants.START_LAG
        """What the Job controller may take to start a Job: longer where the control plane itself stands still."""
        self.tends = True
        """Whether an operator that is dead is started again."""

    def another_operator(self, folder: Path, proxy: FaultProxy, *, arguments: tuple[str, ...] = ()) -> OperatorProcess:
        """Prepare an operator for this namespace that reaches the API server through a proxy."""
        kubeconfig = operator_kubeconfig(self.admin, folder / "kubeconfig")
        kubeconfig.write_text(kubeconfig.read_text().replace(self.admin.url, proxy.url))
        return OperatorProcess(
            kubeconfig=kubeconfig,
            folder=folder,
            namespaces=[self.namespace],
            arguments=["--sweep-interval", str(SWEEP_SECONDS), "--request-timeout", "5", *arguments],
            record=self.world.operator_record(),
            preload=self._preload,
        )

    def start(self) -> Lane:
        """Start the operator and wait until it works."""
        self.operator.start(wait=False)
        self.operator.wait_ready(90)
        return self

    def close(self) -> None:
        """End operator and proxy, and let the namespace go."""
        self.operator.stop(grace=5)
        self.proxy.close()
        self.world.close()

    # Waiting, with an eye on the operator

    def wait(
        self, probe: Callable[[], Found | None], *, what: str, timeout: float = 60, interval: float = _INTERVAL
    ) -> Found:
        """Wait until `probe` returns something true; an operator that was killed meanwhile is started again."""

        def tended() -> Found | None:
            self.tend()
            return probe()

        return wait_for(tended, timeout=timeout, what=f"{what} in {self.namespace}", interval=interval,
                        ignoring=(ApiError,))  # fmt: skip

    def wait_working(self) -> None:
        """Wait until the operator is started, and works."""
        self.tend()
        self.operator.wait_ready(90)

    def tend(self) -> None:
        """Start the operator again if it is dead, after a look at what it left; and end pods as a kubelet would."""
        self._end_pods()
        if self.tends and not self.operator.alive:
            self.check()
            self.operator.kill()
            self.operator.start(wait=False)
            self.restarts += 1

    def check(self) -> None:
        """Note what of S1 to S3 does not hold at this moment."""
        self.violations += [
            line
            for line in self._violations(Snapshot.take(self.admin, self.namespace))
            if line in self._violations(Snapshot.take(self.admin, self.namespace))
        ]

    def _violations(self, seen: Snapshot) -> list[str]:
        return [
            *invariants.rights_only_of_living_sessions(seen),
            *invariants.rights_within_what_was_asked(seen),
            *invariants.deadlines_kept(seen, lag=self.start_lag),
        ]

    def wait_quiet(self, seconds: float = SWEEP_SECONDS + 0.5, *, timeout: float = 30) -> None:
        """Wait until no write came for so long: a sweep long, so that a sweep that writes is seen."""
        self.wait(lambda: self._quiet_for(seconds), timeout=timeout, what=f"{seconds:g} s without a write")

    def _quiet_for(self, seconds: float) -> bool:
        return self.operator.alive and self.proxy.silence() >= seconds

    # The kubelet's part

    def _end_pods(self) -> None:
        """Let pods that are being deleted be gone, now and then."""
        if time.monotonic() - self._pods_ended < 0.5:
            return
        self._pods_ended = time.monotonic()
        for pod in self.admin.list(self.world.path("Pod")):
            if "deletionTimestamp" in pod["metadata"]:
                path = self.world.path("Pod", pod["metadata"]["name"])
                with contextlib.suppress(ApiError):
                    self.admin.request("DELETE", path, query={"gracePeriodSeconds": 0})

    def token(self, job: str, identity: str) -> str:
        """Put the Job's pod on the node, and get its token as the kubelet does."""
        pod = self.wait(lambda: self._pod_of(job), what=f"a pod of Job {job}")
        name = pod["metadata"]["name"]
        if not pod["spec"].get("nodeName"):
            binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
            self.admin.create(f"{self.world.path('Pod', name)}/binding", binding)
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        request = {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}}
        path = self.world.path("ServiceAccount", identity) + "/token"
        # The node authorizer learns of the binding a moment later.
        answer = self.wait(lambda: self.ground.kubelet.create(path, request), what="the token")
        token: str = answer["status"]["token"]
        return token

    def _pod_of(self, job: str) -> Object | None:
        selector = f"batch.kubernetes.io/job-name={job}"
        pods = self.admin.list(self.world.path("Pod"), labelSelector=selector)
        return pods[0] if pods else None

    def accepted(self, token: str) -> bool:
        """Whether the API server still lets a session's token read what the session may read."""
        try:
            self.admin.with_token(token).get(f"/api/v1/namespaces/{self.namespace}/configmaps/triage")
        except ApiError as error:
            if error.status in (401, 403):
                return False
            if error.status != 404:
                raise
        return True

    def clear(self) -> None:
        """Remove all sessions and Jobs, for the next plan in this lane."""
        for path in (self.world.path("Job"), self.world.sessions):
            for item in self.admin.list(path):
                with contextlib.suppress(ApiError):
                    self.admin.delete(f"{path}/{item['metadata']['name']}")
        kinds = ("TaskSession", "Job", "Pod")
        self.wait(
            lambda: not any(Snapshot.take(self.admin, self.namespace, kinds=kinds).objects.values()),
            what="the namespace to be empty",
        )
