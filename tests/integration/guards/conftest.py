"""One guarded control plane for these tests, so that the guards meet nobody else's objects; a scene for each module."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster import Api, Cluster
from tests.cluster.installation import install
from tests.support.scene import LiveSession, Scene

CEILING = {"clusterRoles": ["view"], "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]}


@pytest.fixture(scope="session")
def guarded_cluster() -> Iterator[Cluster]:
    """Return a control plane with the chart installed, without its Deployment."""
    with Cluster(f"guards-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        yield cluster


@pytest.fixture(scope="session")
def guarded(guarded_cluster: Cluster) -> Api:
    """Return the administrator's client of the guarded control plane."""
    return guarded_cluster.api


@pytest.fixture(scope="module")
def scene(guarded_cluster: Cluster) -> Scene:
    """Return a namespace with its people."""
    return Scene.make(guarded_cluster)


@pytest.fixture(scope="module")
def live(scene: Scene) -> LiveSession:
    """Return a granted session whose Job has been released; tests may try to harm it, not end it."""
    return LiveSession.start(scene)
