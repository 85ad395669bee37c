"""The chart's Deployment on a real node: the operator from its image, with nothing but what the chart gives it."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, wait_for
from tests.cluster.api import ApiError, Object
from tests.cluster.operator_image import OPERATOR_IMAGE
from tests.cluster.ports import free_ports
from tests.e2e.conftest import SLEEPS, pod
from tests.e2e.operator_pods import DEPLOYMENTS, LEASE, PODS, is_ready, log_of, one_replica, pid_of, rendered
from tests.support.world import World

pytestmark = pytest.mark.node


def ready(cluster: Cluster) -> list[Object]:
    """Read the operator's pods that are Ready."""
    return [each for each in cluster.api.list(PODS) if is_ready(each)]


def kill(cluster: Cluster, pod: Object) -> None:
    """End a pod as the loss of its node would: SIGKILL, no last words to the Lease, and no restart."""
    os.kill(pid_of(cluster, pod), signal.SIGKILL)
    cluster.api.request("DELETE", f"{PODS}/{pod['metadata']['name']}", body={"gracePeriodSeconds": 0})


@pytest.fixture
def deployed(node_with_image: Cluster) -> Iterator[Cluster]:
    """Run two replicas. The one node's pods have only its own network, so that each has a Deployment and a port."""
    names = []
    for number, port in enumerate(free_ports(2, taken=set())):
        name = f"tasksession-operator-{number}"
        node_with_image.api.create(DEPLOYMENTS, one_replica(node_with_image, name, port=port))
        names.append(name)
    yield node_with_image
    for name in names:
        node_with_image.api.delete(f"{DEPLOYMENTS}/{name}")
    wait_for(lambda: not node_with_image.api.list(PODS), timeout=20, what="the operator's pods to be gone")
    node_with_image.api.delete(LEASE)


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
    began = time.monotonic()
    kill(deployed, next(each for each in pods if each["metadata"]["name"] == leader))
    wait_for(
        lambda: (holder := deployed.api.get(LEASE)["spec"].get("holderIdentity")) and holder != leader,
        timeout=30, what="another replica to hold the Lease",
    )  # fmt: skip
    world.revoke("during")
    world.wait_state("during", "Revoked", timeout=30)
    assert time.monotonic() - began < 45
    world.wait_nothing_left()


def test_one_that_is_only_starting_stops_at_once(deployed: Cluster) -> None:
    """SIGTERM in a container's first moment, before the operator is loaded, is not lost: no update waits for it."""
    wait_for(lambda: len(ready(deployed)) == 2, timeout=60, what="two replicas")
    known = {each["metadata"]["name"] for each in deployed.api.list(PODS)}
    deployed.api.delete(f"{PODS}/{next(iter(known))}")

    def starting() -> Object | None:
        return next((each for each in deployed.api.list(PODS) if runs(each, known)), None)

    young = wait_for(starting, timeout=20, what="another one to start", interval=0.02)["metadata"]
    deployed.api.delete(f"{PODS}/{young['name']}")
    wait_for(lambda: deployed.api.find(f"{PODS}/{young['name']}") is None, timeout=15, what="it to be gone")


def runs(pod: Object, but: set[str]) -> bool:
    """Whether a pod, none of some, has a container that runs."""
    states = pod["status"].get("containerStatuses", ())
    return pod["metadata"]["name"] not in but and any("running" in each["state"] for each in states)


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
