"""A Kubernetes cluster for tests and the demo, from processes on 127.0.0.1: `Cluster`, and its client `Api`.

From a shell: `python -m tests.cluster up`, `status`, `down`.
"""

from tests.cluster.api import Api, ApiError, objects
from tests.cluster.cluster import Cluster, ClusterError
from tests.cluster.existing import ExistingCluster, chosen_context
from tests.cluster.node import NodeUnavailableError
from tests.cluster.waiting import wait_for

__all__ = [
    "Api",
    "ApiError",
    "Cluster",
    "ClusterError",
    "ExistingCluster",
    "NodeUnavailableError",
    "chosen_context",
    "objects",
    "wait_for",
]
