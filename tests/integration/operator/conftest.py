"""A guarded control plane for the operator's tests, and for each test a world with an operator of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.cluster.operator_process import OperatorProcess
from tests.support.world import World


@pytest.fixture(scope="session")
def operator_cluster(guarded_cluster: Cluster) -> Cluster:
    """Return a control plane with the chart installed, without its Deployment."""
    return guarded_cluster


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
