"""Lanes for the faults, on the guarded control plane, and the tables at the end of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.faults.campaign import Reference, References
from tests.faults.tables import PROPERTY, summary
from tests.support.lane import Ground, Lane
from tests.support.proxy import Line

#: Lives wait more than they work, so that there can be more of them than cores.
LANES = int(os.environ.get("TASKSESSION_FAULT_LANES", "6"))


@pytest.fixture(scope="session")
def ground(guarded_cluster: Cluster) -> Iterator[Ground]:
    """Return what all lanes share."""
    made = Ground(guarded_cluster)
    yield made
    made.close()


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def life_references(running_lanes: list[Lane]) -> References:
    """Return each life's run without faults, run when it is asked for."""
    return References(running_lanes)


@pytest.fixture
def references(life_references: References) -> dict[str, Reference]:
    """Return all lives' runs without faults."""
    return life_references.all()


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
