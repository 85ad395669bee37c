"""How long the operator's container takes to be Ready, in its image, as the chart's Deployment."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.cluster import Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.ports import free_ports
from tests.cluster.process import observe
from tests.e2e.operator_pods import DEPLOYMENTS, LEASE, PODS, is_ready, log_of, one_replica, pid_of

pytestmark = [pytest.mark.node, pytest.mark.timed]

RUNS = 3
GOAL_SECONDS = 3.0


@pytest.fixture
def started(node_with_image: Cluster) -> Iterator[Cluster]:
    """Run one replica."""
    name = "tasksession-operator-timed"
    port = free_ports(1, taken=set())[0]
    node_with_image.api.create(DEPLOYMENTS, one_replica(node_with_image, name, port=port))
    yield node_with_image
    node_with_image.api.delete(f"{DEPLOYMENTS}/{name}")
    wait_for(lambda: not node_with_image.api.list(PODS), timeout=20, what="the operator's pods to be gone")
    node_with_image.api.delete(LEASE)


def test_it_is_ready_soon_after_its_container_started(
    started: Cluster, record_property: Callable[[str, object], None]
) -> None:
    """From the start of the process to the log line that says so, and to the pod's condition, within the goal."""
    at_work, as_seen, gone = [], [], set[str]()
    for _ in range(RUNS):
        pod, seen = _next_ready(started, gone)
        name = pod["metadata"]["name"]
        began = _began(pid_of(started, pod))
        line = next(each for each in log_of(started, name) if each["message"] == "the operator is ready")
        at_work.append(datetime.fromisoformat(line["time"]).timestamp() - began)
        as_seen.append(seen - began)
        gone.add(name)
        started.api.delete(f"{PODS}/{name}")
    ready, condition = statistics.median(at_work), statistics.median(as_seen)
    record_property(
        "measured",
        f"start of the operator's container, median of {RUNS}: at work after {ready:.2f} s, its pod Ready after "
        f"{condition:.2f} s; goal: {GOAL_SECONDS:g} s",
    )
    assert condition <= GOAL_SECONDS


def _next_ready(cluster: Cluster, but: set[str]) -> tuple[Object, float]:
    """Wait for the next Ready pod; it, and the time at which it was seen."""

    def ready() -> tuple[Object, float] | None:
        found = [each for each in cluster.api.list(PODS) if each["metadata"]["name"] not in but and is_ready(each)]
        return (found[0], time.time()) if found else None

    return wait_for(ready, timeout=60, what="a Ready operator", interval=0.02)


def _began(pid: int) -> float:
    """When a process started, as the time of day."""
    record = observe(pid)
    assert record is not None
    since_boot = record.started / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
