"""pytest fixtures: one control plane for a test run, a namespace for a test, a cluster with a node.

Loaded by `tests/conftest.py`. A run that is killed leaves its clusters to the next run, which ends them first.
"""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.api import Api
from tests.cluster.cache import node_tools_marker
from tests.cluster.cluster import Cluster
from tests.cluster.existing import ExistingCluster, chosen_context
from tests.cluster.node import NodeUnavailableError


def pytest_configure() -> None:
    """Let SIGTERM end the run as Ctrl-C does, so that fixtures still end their clusters."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return the control plane that the whole run shares; it has no node, so pods stay pending."""
    yield from _running(_existing() or Cluster(f"test-{os.getpid()}"), request)


@pytest.fixture(scope="session")
def node_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return a cluster with a real node; the test is skipped where none can run, and fails where one must."""
    try:
        made = _existing() or Cluster(f"node-{os.getpid()}", node="real")
    except NodeUnavailableError as reason:
        if node_tools_marker().exists():
            pytest.fail(f"make node-tools has run here, and yet there is no real node: {reason}")
        pytest.skip(f"NOT TESTED: {reason}")
    yield from _running(made, request)


@pytest.fixture(scope="session")
def simulated_node_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return a cluster whose pods are only played; it needs neither root nor a container runtime."""
    yield from _running(Cluster(f"kwok-{os.getpid()}", node="kwok"), request)


@pytest.fixture(scope="session")
def admin(cluster: Cluster) -> Api:
    """Return the administrator's client of the shared control plane."""
    return cluster.api


@pytest.fixture
def namespace(admin: Api) -> Iterator[str]:
    """Return the name of a namespace of the test's own; its deletion is begun, not awaited, at the end."""
    made = admin.create("/api/v1/namespaces", {"metadata": {"generateName": "test-"}})
    name: str = made["metadata"]["name"]
    yield name
    admin.delete(f"/api/v1/namespaces/{name}")


def _existing() -> Cluster | None:
    context = chosen_context()
    return ExistingCluster(context) if context else None


def _running(made: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made.up()
    failed_before = request.session.testsfailed
    try:
        yield made
    finally:
        failed = request.session.testsfailed > failed_before
        kept = made.down(keep_logs=failed)
        if kept:
            sys.stderr.write(f"\nthe logs of cluster {made.name} are in {kept}\n")
