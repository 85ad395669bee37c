"""One guarded control plane for the faults, lanes on it, and the tables at the end of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.cluster.installation import install
from tests.faults.campaign import Reference, observe
from tests.faults.lives import LIVES, Life
from tests.faults.side_by_side import side_by_side
from tests.faults.tables import PROPERTY, summary
from tests.support.lane import Ground, Lane
from tests.support.proxy import Line
from tests.support.world import CEILING

#: Lives wait more than they work, so that there can be more of them than cores.
LANES = int(os.environ.get("TASKSESSION_FAULT_LANES", "6"))


@pytest.fixture(scope="session")
def fault_cluster() -> Iterator[Cluster]:
    """Return a control plane with the chart installed, without its Deployment."""
    with Cluster(f"faults-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        # The garbage collector learns of new kinds every 30 s only, or when it starts.
        cluster.restart("kube-controller-manager")
        yield cluster


@pytest.fixture(scope="session")
def ground(fault_cluster: Cluster) -> Iterator[Ground]:
    """Return what all lanes share."""
    made = Ground(fault_cluster)
    yield made
    made.close()


@pytest.fixture(scope="session")
def running_lanes(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    """Return lanes whose operators work."""
    made = [Lane(ground, tmp_path_factory.mktemp(f"lane-{number}")) for number in range(LANES)]
    for lane in made:
        lane.operator.start(wait=False)
    for lane in made:
        lane.operator.wait_ready(90)
    yield made
    for lane in made:
        lane.close()


@pytest.fixture
def lanes(running_lanes: list[Lane]) -> Iterator[list[Lane]]:
    """Return lanes whose operators work, with nothing in them; whatever a test left is cleared away."""
    for lane in running_lanes:
        lane.violations = []
    yield running_lanes
    for lane in running_lanes:
        lane.tends = True
        lane.proxy.set_line(Line.OPEN)
        lane.proxy.arm()
        lane.clear()
        lane.wait_working()


@pytest.fixture(scope="session")
def references(running_lanes: list[Lane]) -> dict[str, Reference]:
    """Return each life's run without faults."""
    found: dict[str, Reference] = {}

    def watch(lane: Lane, life: Life) -> None:
        found[life.title] = observe(lane, life)

    side_by_side(running_lanes, LIVES, watch)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which faults were injected, how often, and what held."""
    found = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == PROPERTY and report.when == "call"
    ]
    if found:
        terminalreporter.section("faults")
        for line in summary(found):
            terminalreporter.write_line(line)
