"""Which test runs where and when: longest first, what shares a cluster in one process, what is timed alone.

A pytest plugin, loaded by `tests/conftest.py`. Run side by side (`--dist loadfile`), a process takes one unit after
the other: a file, or files that share a fixture that is dear. The order comes from `tests/durations.json`,
what the files took when they were last recorded; it decides nothing but the order. It never leaves a test out.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parents[2]
DURATIONS = ROOT / "tests" / "durations.json"
#: Where this names a file, what each file of tests took is written there when the run is over: `make durations`.
RECORD = "TASKSESSION_DURATIONS"
#: What stays together in one process, by the beginning of its path, for the sake of a cluster that only it uses.
TOGETHER = {
    "tests/e2e/": "a real node",
    "tests/integration/test_cluster_nodes.py": "a real node",
    "tests/integration/api/": "the definitions",
    "tests/integration/doctor/": "the doctor",
}
#: These come first, so that their lanes of operators end before the rest begins.
FIRST = "tests/faults/"
#: What a file takes that was never recorded: it goes to the front, where a long one does no harm.
UNKNOWN = 120.0
#: How many of the files that took longest are listed in the end.
LISTED = 12


def unit_of(nodeid: str) -> str:
    """Return the file that a test is in, or the name of what stays together."""
    file = nodeid.split("::", 1)[0]
    return next((unit for path, unit in TOGETHER.items() if file.startswith(path)), file)


def recorded() -> dict[str, float]:
    """Return what each file took when it was last recorded, in seconds."""
    found: dict[str, float] = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
    return found


def in_order(nodeids: list[str], seconds: dict[str, float]) -> list[int]:
    """Return the places of the tests in the order in which they run; within a unit they keep the one they have."""
    files = {unit_of(each): set[str]() for each in nodeids}
    for each in nodeids:
        files[unit_of(each)].add(each.split("::", 1)[0])
    takes = {unit: sum(seconds.get(file, UNKNOWN) for file in found) for unit, found in files.items()}

    def key(place: int) -> tuple[bool, float, str]:
        unit = unit_of(nodeids[place])
        return not unit.startswith(FIRST), -takes[unit], unit

    return sorted(range(len(nodeids)), key=key)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests in order where they run side by side; every process comes to the same order."""
    if hasattr(config, "workerinput"):
        places = in_order([item.nodeid for item in items], recorded())
        items[:] = [items[place] for place in places]


class ByUnit(LoadFileScheduling):  # type: ignore[misc]
    """Gives a process whole units."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Hand out whole units, in the order of the tests."""
    if config.getoption("dist") != "loadfile":
        return None
    # The order is the tests' own: xdist would begin with the units that have most tests.
    config.option.loadscopereorder = False
    return ByUnit(config, log)


class Stopwatch:
    """Adds up what the tests of each file took, their fixtures included, wherever they ran."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one part of one test."""
        self.seconds[report.nodeid.split("::", 1)[0]] += report.duration  # type: ignore[assignment]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the files that took longest, and write all of them down where that is asked for."""
        longest = [(file, spent) for file, spent in self.seconds.most_common(LISTED) if spent >= 10]
        if longest:
            terminalreporter.section("files that took longest")
            for file, spent in longest:
                terminalreporter.write_line(f"{spent:6.0f} s  {file}")
        if target := os.environ.get(RECORD):
            path = Path(target)
            known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
            known |= {file: float(round(spent, 1)) for file, spent in self.seconds.items() if spent >= 1}
            path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Start the stopwatch in the process that hears of all tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stopwatch(), "stopwatch")
