"""The chart's Deployment on a real node: the operator from its image, with nothing but what the chart gives it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster, wait_for
from tests.cluster.api import ApiError, Object
from tests.cluster.installation import NAMESPACE, render
from tests.cluster.operator_image import OPERATOR_IMAGE, cached_archive
from tests.cluster.ports import free_ports
from tests.e2e.conftest import SLEEPS, pod
from tests.support.world import CEILING, World

pytestmark = pytest.mark.node

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


def ready(cluster: Cluster) -> list[Object]:
    """Read the operator's pods that are Ready."""
    return [
        each
        for each in cluster.api.list(PODS)
        if "deletionTimestamp" not in each["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in each["status"].get("conditions", ()))
    ]


def log_of(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Read the JSON lines of a pod's log."""
    text = str(cluster.api.request("GET", f"{PODS}/{name}/log").get("text", ""))
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture
def deployed(guarded_node: Cluster) -> Iterator[Cluster]:
    """Run two replicas. The one node's pods have only its own network, so that each has a Deployment and a port."""
    guarded_node.import_image(cached_archive())
    names = []
    for number, port in enumerate(free_ports(2, taken=set())):
        deployment = rendered(guarded_node, hostNetwork=True, replicas=1, probePort=port)
        name = f"{deployment['metadata']['name']}-{number}"
        labels = {**deployment["spec"]["selector"]["matchLabels"], "test": name}
        deployment["metadata"]["name"] = name
        deployment["spec"]["selector"]["matchLabels"] = labels
        deployment["spec"]["template"]["metadata"]["labels"] |= labels
        guarded_node.api.create(DEPLOYMENTS, deployment)
        names.append(name)
    yield guarded_node
    for name in names:
        guarded_node.api.delete(f"{DEPLOYMENTS}/{name}")
    wait_for(lambda: not guarded_node.api.list(PODS), timeout=60, what="the operator's pods to be gone")
    guarded_node.api.delete(LEASE)


def test_two_replicas_grant_and_end_and_survive_the_leader(deployed: Cluster, world: World) -> None:
    """Both are Ready; a session is granted and ended; the leader is killed, and the other one goes on with the next."""
    pods = wait_for(lambda: found if len(found := ready(deployed)) == 2 else None, timeout=120, what="two replicas")
    assert {each["spec"]["containers"][0]["image"] for each in pods} == {OPERATOR_IMAGE}
    assert {each["spec"]["serviceAccountName"] for each in pods} == {"tasksession-operator"}
    for each in pods:
        state = each["status"]["containerStatuses"][0]
        assert state["restartCount"] == 0, log_of(deployed, each["metadata"]["name"])

    world.request("before", task={"jobTemplate": {"spec": {"template": {"spec": pod("exit 0")}}}})
    world.wait_state("before", "Completed", timeout=60)

    leader = deployed.api.get(LEASE)["spec"]["holderIdentity"]
    assert leader in {each["metadata"]["name"] for each in pods}
    world.request("during", task={"jobTemplate": {"spec": {"template": {"spec": pod(SLEEPS)}}}})
    world.wait_state("during", "Active")
    deployed.api.request("DELETE", f"{PODS}/{leader}", body={"gracePeriodSeconds": 0})
    began = time.monotonic()
    wait_for(
        lambda: (holder := deployed.api.get(LEASE)["spec"].get("holderIdentity")) and holder != leader,
        timeout=30, what="another replica to hold the Lease",
    )  # fmt: skip
    world.revoke("during")
    world.wait_state("during", "Revoked", timeout=30)
    assert time.monotonic() - began < 45
    world.wait_nothing_left()


def test_the_deployment_is_restricted(guarded_node: Cluster) -> None:
    """Without the host's network it meets the restricted Pod Security Standard: the API server does not even warn."""
    name = "test-restricted"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    guarded_node.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    try:
        template = rendered(guarded_node)["spec"]["template"]
        body = {"metadata": {"name": "operator", "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
        body["spec"]["serviceAccountName"] = "default"
        path = f"/api/v1/namespaces/{name}/pods"
        wait_for(
            lambda: guarded_node.api.create(path, body, dryRun="All"),
            timeout=20, what="the API server to accept the pod", ignoring=(ApiError,),
        )  # fmt: skip
        body["spec"]["hostNetwork"] = True
        with pytest.raises(ApiError, match="restricted"):
            guarded_node.api.create(path, body, dryRun="All")
    finally:
        guarded_node.api.delete(f"/api/v1/namespaces/{name}")
