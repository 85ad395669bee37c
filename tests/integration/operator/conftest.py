"""A guarded control plane for the operator's tests, and for each test a world with an operator of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.cluster.installation import install
from tests.cluster.operator_process import OperatorProcess
from tests.support.world import CEILING, World


@pytest.fixture(scope="session")
def operator_cluster() -> Iterator[Cluster]:
    """Return a control plane with the chart installed, without its Deployment."""
    with Cluster(f"operator-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        # The garbage collector learns of new kinds every 30 s only, or when it starts.
        cluster.restart("kube-controller-manager")
        yield cluster


@pytest.fixture
def world(operator_cluster: Cluster) -> Iterator[World]:
    """Return a namespace, its policy and its requester; no operator runs."""
    made = World(operator_cluster)
    yield made
    made.close()


@pytest.fixture
def operator(world: World, tmp_path: Path) -> Iterator[OperatorProcess]:
    """Return a running operator that looks after the world's namespace only."""
    process = world.operator(tmp_path)
    with process:
        yield process
    assert "Traceback" not in process.log.read_text(), process.tail(60)
