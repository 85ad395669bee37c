"""A scene for each module, on the guarded control plane."""

import pytest

from tests.cluster import Api, Cluster
from tests.support.scene import LiveSession, Scene


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
