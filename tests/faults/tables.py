"""What was injected and what held, counted: kept with each test's report, printed at the end of the run.

Tests call `note`; the conftest prints `summary`. It must never hide a plan that did not pass.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tests.faults.campaign import Result

#: The name under which a report carries counts: pytest passes it on from a worker process too.
PROPERTY = "faults"

Record = Callable[[str, object], None]


def note(
    record: Record, results: Iterable[Result], *, row: str, fault: str | None = None, points: bool = False
) -> None:
    """Keep the outcome of plans with the test's report. `points`: these are the points of an exhaustive run.

    `fault` names what was tried where the plans do not.
    """
    for title, planned, passed, count in _counted(results):
        counts = {
            "row": row,
            "life": title,
            "fault": fault or planned,
            "plans": count,
            "passed": passed,
            "points": points,
        }
        record(PROPERTY, json.dumps(counts))


def note_one(record: Record, *, row: str, fault: str, life: str = "") -> None:
    """Keep the outcome of a fault that has a test of its own: the test has passed when this is called last."""
    counts = {"row": row, "life": life, "fault": fault, "plans": 1, "passed": 1, "points": False}
    record(PROPERTY, json.dumps(counts))


def _counted(results: Iterable[Result]) -> Iterable[tuple[str, str, int, int]]:
    plans: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for result in results:
        key = (result.life.title, result.plan.title if result.plan else "none")
        plans[key] += 1
        passed[key] += not result.complaints
    return [(life, fault, passed[life, fault], count) for (life, fault), count in sorted(plans.items())]


def summary(found: Iterable[str]) -> list[str]:
    """Build the tables: one line for each row, fault and life, and the points of the exhaustive runs."""
    sums: dict[tuple[str, str, str, bool], Counter[str]] = defaultdict(Counter)
    for each in map(json.loads, found):
        key = (each["row"], each["fault"], each["life"], each["points"])
        sums[key].update(plans=each["plans"], passed=each["passed"])
    records: list[dict[str, Any]] = [
        {"row": row, "fault": fault, "life": life, "points": points, **counts}
        for (row, fault, life, points), counts in sums.items()
    ]
    width = max(len(record["fault"]) for record in records) + 2
    lines = [f"{'row':>4}  {'fault':<{width}}{'life':<28}{'plans':>6}{'passed':>8}"]
    records.sort(key=lambda record: (int(record["row"]), record["fault"], record["life"]))
    lines += [
        f"{record['row']:>4}  {record['fault']:<{width}}{record['life']:<28}{record['plans']:>6}{record['passed']:>8}"
        for record in records
    ]
    points = [record for record in records if record["points"]]
    if points:
        passed, plans = (sum(record[key] for record in points) for key in ("passed", "plans"))
        lines.append(f"{passed} of {plans} points: each write of each life, before, after, and with its reply lost")
    return lines
