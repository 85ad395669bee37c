"""pytest fixtures that several suites use: the guarded control plane of a process.

Loaded by `tests/conftest.py`. What takes guards away for longer than a test, stops the control plane, or needs another
ceiling has a control plane of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.cluster.installation import install
from tests.support.world import CEILING


@pytest.fixture(scope="session")
def guarded_cluster() -> Iterator[Cluster]:
    """Return a control plane with the chart installed, without its Deployment; it has no node."""
    with Cluster(f"guarded-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        # The garbage collector learns of new kinds every 30 s only, or when it starts.
        cluster.restart("kube-controller-manager")
        yield cluster
