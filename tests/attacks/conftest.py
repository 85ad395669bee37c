"""The clusters on which the attacks take place: one guarded for good, one whose guards are taken away in turn."""

import os
from collections.abc import Iterator

import pytest

from tests.attacks.court import Court
from tests.attacks.stage import CEILING, Ground
from tests.cluster import Cluster
from tests.cluster.installation import install
from tests.support import weakening
from tests.support.world import World


@pytest.fixture(scope="module")
def guarded() -> Iterator[Ground]:
    """Return a namespace on a control plane with all guards."""
    with Cluster(f"attacks-{os.getpid()}") as cluster:
        yield _prepared(cluster)


@pytest.fixture(scope="module")
def weakened() -> Iterator[Ground]:
    """Return a namespace on a control plane whose guards may be taken out of force."""
    with Cluster(f"twins-{os.getpid()}") as cluster:
        ground = _prepared(cluster)
        weakening.prepare(cluster.api)
        yield ground


@pytest.fixture(scope="module")
def judged(guarded: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a namespace with a running operator, on the guarded control plane."""
    world = World(guarded.cluster)
    Court.prepare(world)
    process = world.operator(tmp_path_factory.mktemp("operator"))
    with process:
        yield world
    assert "Traceback" not in process.log.read_text(), process.tail(60)
    world.close()


def _prepared(cluster: Cluster) -> Ground:
    install(cluster, values={"ceiling": CEILING})
    # The garbage collector learns of new kinds every 30 s only, or when it starts.
    cluster.restart("kube-controller-manager")
    return Ground.make(cluster)
