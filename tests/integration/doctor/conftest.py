"""A control plane of its own, since guards are weakened here, and for a test a world with an operator."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.cluster.installation import install
from tests.cluster.operator_process import OperatorProcess
from tests.support.world import CEILING, World


@pytest.fixture(scope="package")
def doctor_cluster() -> Iterator[Cluster]:
    """Return a control plane with the chart installed, without its Deployment."""
    with Cluster(f"doctor-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        cluster.restart("kube-controller-manager")
        yield cluster


@pytest.fixture
def world(doctor_cluster: Cluster) -> Iterator[World]:
    """Return a namespace, its policy and its requester; no operator runs."""
    made = World(doctor_cluster)
    yield made
    made.close()


@pytest.fixture
def operator(world: World, tmp_path: Path) -> Iterator[OperatorProcess]:
    """Return a running operator that looks after the world's namespace only."""
    with world.operator(tmp_path) as process:
        yield process
    assert "Traceback" not in process.log.read_text(), process.tail(60)
