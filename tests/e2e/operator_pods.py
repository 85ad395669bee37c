"""The operator's own pods on the real node: the chart's Deployment as it is there, who is Ready, what was logged.

Used by the tests of the Deployment and of its start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.installation import NAMESPACE, render
from tests.support.world import CEILING

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/tasksession-operator"


def rendered(cluster: Cluster, **operator: Any) -> Object:
    """Render the chart's Deployment."""
    values = {"ceiling": CEILING, "operator": {"create": True, "imagePullPolicy": "Never", **operator}}
    found = [each for each in yaml.safe_load_all(render(cluster, values=values)) if each["kind"] == "Deployment"]
    assert len(found) == 1
    deployment: Object = found[0]
    return deployment


def one_replica(cluster: Cluster, name: str, *, port: int) -> Object:
    """Render a Deployment of its own name and port: the one node's pods have only its own network."""
    deployment = rendered(cluster, hostNetwork=True, replicas=1, probePort=port)
    labels = {**deployment["spec"]["selector"]["matchLabels"], "test": name}
    deployment["metadata"]["name"] = name
    deployment["spec"]["selector"]["matchLabels"] = labels
    deployment["spec"]["template"]["metadata"]["labels"] |= labels
    return deployment


def is_ready(pod: Object) -> bool:
    """Whether a pod is Ready, and not about to go."""
    conditions = pod["status"].get("conditions", ())
    return "deletionTimestamp" not in pod["metadata"] and any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    )


def log_of(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Read the JSON lines of a pod's log."""
    text = str(cluster.api.request("GET", f"{PODS}/{name}/log").get("text", ""))
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def pid_of(cluster: Cluster, pod: Object) -> int:
    """The process of a pod's one container, as containerd recorded it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    bundle: Path = cluster.folder / "node/run/io.containerd.runtime.v2.task/k8s.io" / container
    return int((bundle / "init.pid").read_text())
