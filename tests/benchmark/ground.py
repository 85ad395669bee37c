"""What every measurement stands on: a fresh control plane with the chart, a simulated node, and its people.

Each measurement gets a namespace of its own, and an operator that is a real process with its own ServiceAccount's
token. What it measures, it reads from the API server.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.benchmark.audit import AuditLog
from tests.benchmark.connection import Connection, side_by_side
from tests.cluster.api import Api, Object
from tests.cluster.cluster import Cluster
from tests.cluster.installation import install
from tests.cluster.operator_process import OperatorProcess, operator_kubeconfig
from tests.cluster.simulated_node import NODE_NAME
from tests.cluster.waiting import wait_for
from tests.support.world import CEILING, OPERATOR_USER, REQUESTER, World

#: How many requests the load keeps in flight.
LOAD = 32
_JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
#: How long the operator has to be silent before it counts as at rest, in seconds.
REST = 3.0
#: A pod of the simulated node runs for so long where nobody ends it.
_RUNS_FOR = "1h"
_POD: Object = {
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 1,
    "containers": [{"name": "task", "image": "task", "command": ["sleep", "3600"]}],
}


class Ground:
    """A control plane with its connections: `admin`, `jane` who requests, `operator`, the node's `kubelet`,
    and `bearer`, who is nobody but by the token of a request."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.operator_kubeconfig = operator_kubeconfig(cluster.api, folder / "operator.kubeconfig")
        self._numbers = itertools.count(1)
        self._operators: list[OperatorProcess] = []
        self.admin: Connection
        self.jane: Connection
        self.operator: Connection
        self.kubelet: Connection
        self.bearer: Connection

    @classmethod
    @asynccontextmanager
    async def made(cls, folder: Path) -> AsyncIterator[Ground]:
        """Start a control plane, install the chart, connect; end it all at the end."""
        with Cluster(f"benchmark-{folder.name}", node="kwok") as cluster:
            install(cluster, values={"ceiling": CEILING})
            # The garbage collector learns of new kinds every 30 s only, or when it starts.
            cluster.restart("kube-controller-manager")
            ground = cls(cluster, folder)
            async with contextlib.AsyncExitStack() as stack:
                people = {"admin": cluster.kubeconfig, "operator": ground.operator_kubeconfig}
                people["jane"] = cluster.issue_client_certificate(REQUESTER, ["people"])
                people["kubelet"] = cluster.issue_client_certificate(f"system:node:{NODE_NAME}", ["system:nodes"])
                for name, kubeconfig in people.items():
                    setattr(ground, name, await stack.enter_async_context(Connection(kubeconfig)))
                # A client certificate would count before any token that is shown beside it.
                ground.bearer = await stack.enter_async_context(Connection(cluster.kubeconfig, token="none"))
                yield ground

    @property
    def api(self) -> Api:
        """The administrator's synchronous client."""
        return self.cluster.api

    def world(self) -> World:
        """Make a namespace with a policy and its requester."""
        return World(self.cluster, pod=_POD)

    def audit(self, *words: str) -> AuditLog:
        """Read the audit log from now on: lines with all of these words."""
        return AuditLog(self.cluster.audit_log, *words, check=self._all_live)

    async def until_at_rest(self, *, rest: float = REST, timeout: float = 600) -> None:  # noqa: ASYNC109
        """Wait until operator and Job controller have asked for nothing for `rest` seconds. Raises TimeoutError."""
        audits = [self.audit(user) for user in (OPERATOR_USER, _JOB_CONTROLLER)]
        started = last = clock()
        seen = 0
        while clock() - last < rest:
            if clock() - started > timeout:
                raise TimeoutError(f"operator and Job controller were not at rest within {timeout:g} s")
            await asyncio.sleep(min(0.5, rest / 4))
            entries = itertools.chain.from_iterable(audit.read() for audit in audits)
            found = sum(entry.resource != "leases" and entry.verb != "watch" for entry in entries)
            if found > seen:
                last, seen = clock(), found

    def _all_live(self) -> None:
        for operator in self._operators:
            if operator.died:
                raise ChildProcessError(f"an operator ended by itself:\n{operator.tail()}")

    def running_operator(self, world: World | None, *, arguments: Sequence[str] = ()) -> OperatorProcess:
        """Prepare an operator: for one world, or, for None, for all namespaces."""
        folder = self.folder / f"operator-{next(self._numbers)}"
        folder.mkdir()
        operator = OperatorProcess(
            kubeconfig=self.operator_kubeconfig,
            folder=folder,
            namespaces=[world.namespace] if world else [],
            arguments=arguments,
        )
        self._operators.append(operator)
        return operator

    async def request(self, world: World, names: Sequence[str], **spec: Any) -> Sequence[Object]:
        """Create TaskSessions as Jane, as fast as they are taken; returns them as created."""

        async def one(name: str) -> Object:
            return await self.jane.create(world.sessions, manifest(world, name, **spec))

        return await side_by_side(names, one, limit=LOAD)


def manifest(world: World, name: str, **spec: Any) -> Object:
    """Build a TaskSession whose Job runs until its pod is ended."""
    spec = {"ttl": "25m", "task": {"jobTemplate": {"spec": job_spec(world)}}, **spec}
    return world.manifest(name, **spec)


def job_spec(world: World) -> Object:
    """Build the spec of a Job whose pod the simulated node runs for long."""
    template = {"metadata": {"annotations": {"simulated/runs-for": _RUNS_FOR}}, "spec": copy.deepcopy(world.pod)}
    return {"backoffLimit": 0, "template": template}


def wait_pods_run(world: World, count: int, *, timeout: float = 180) -> None:
    """Wait until so many pods of a namespace run."""
    path = world.path("Pod")

    def all_run() -> bool:
        found = world.admin.list(path, fieldSelector="status.phase=Running", resourceVersion="0")
        return len(found) >= count

    wait_for(all_run, timeout=timeout, what=f"{count} pods to run", interval=0.5)


def wait_quiet(world: World, *, timeout: float = 180) -> None:
    """Wait until no pod runs and no session's identity is left in a namespace: garbage collection is done."""

    def quiet() -> bool:
        pods = world.admin.list(world.path("Pod"), fieldSelector="status.phase=Running", resourceVersion="0")
        accounts = world.admin.list(world.path("ServiceAccount"), resourceVersion="0")
        return not pods and len(accounts) <= 1

    wait_for(quiet, timeout=timeout, what="pods and identities to be gone", interval=0.5)


def clock() -> float:
    """The time, in Unix seconds: the API server's too, which runs on this machine."""
    return time.time()
