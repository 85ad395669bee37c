"""A cluster with a real node and the chart; for each test a world whose pods have a shell and kubectl."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.cache import node_tools_marker
from tests.cluster.image import TASK_IMAGE
from tests.cluster.installation import install
from tests.cluster.operator_image import cached_archive, why_not
from tests.cluster.operator_process import OperatorProcess
from tests.support.world import CEILING, World


def pod(script: str) -> Object:
    """Build a pod that runs a script; its grace is short, so that tests are."""
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 2,
        "containers": [
            {
                "name": "task",
                "image": TASK_IMAGE,
                "imagePullPolicy": "Never",
                "command": ["/bin/sh", "-c", script],
            }
        ],
    }


#: Runs for longer than any test.
SLEEPS = "exec sleep 3600"


@pytest.fixture(scope="session")
def guarded_node(node_cluster: Cluster) -> Cluster:
    """Return the node's cluster with the chart installed."""
    install(node_cluster, values={"ceiling": CEILING})
    # The garbage collector learns of new kinds every 30 s only, or when it starts.
    node_cluster.restart("kube-controller-manager")
    return node_cluster


@pytest.fixture(scope="session")
def operator_archive() -> Path:
    """Return the operator's image; the test is skipped where it cannot be made, and fails where it must be."""
    if reason := why_not():
        if node_tools_marker().exists():
            pytest.fail(f"make node-tools has run here, and yet there is no image: {reason}")
        pytest.skip(f"NOT TESTED: {reason}")
    return cached_archive()


@pytest.fixture(scope="session")
def node_with_image(guarded_node: Cluster, operator_archive: Path) -> Cluster:
    """Return the guarded node with the operator's image."""
    guarded_node.import_image(operator_archive)
    return guarded_node


@pytest.fixture
def world(guarded_node: Cluster) -> Iterator[World]:
    """Return a namespace, its policy and its requester; no operator runs."""
    made = World(guarded_node, pod=pod(SLEEPS))
    yield made
    made.close()


@pytest.fixture
def operator(world: World, tmp_path: Path) -> Iterator[OperatorProcess]:
    """Return a running operator that looks after the world's namespace only."""
    process = world.operator(tmp_path)
    with process:
        yield process
    assert "Traceback" not in process.log.read_text(), process.tail(60)
