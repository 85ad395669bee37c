"""One whole run: every figure of the table, by turns where two are compared, in rounds where it is said.

The command line calls it with a size. What it returns is plain data: values by figure, and the details behind them.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmark import deadlines, live, refusal, throughput
from tests.benchmark.alone import alone
from tests.benchmark.ground import Ground

LEVELS = (8, 16, 32, 64)
PARTS = ("throughput", "alone", "refusal", "crowded", "deadline", "live")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; `large` 0 leaves that part out."""

    rounds: int
    small: int
    large: int
    naive: int
    alone: int
    refusals: int
    crowded: int
    others: int
    deadlines: int
    head_start: float
    window: float
    live: int
    live_runs: int
    quiet: float


SIZES = {
    "full": Size(
        rounds=3, small=300, large=1000, naive=300, alone=30, refusals=100, crowded=50, others=500,
        deadlines=500, head_start=45, window=60, live=10_000, live_runs=20, quiet=60,
    ),
    "smoke": Size(
        rounds=1, small=40, large=0, naive=20, alone=5, refusals=5, crowded=5, others=20,
        deadlines=10, head_start=20, window=5, live=40, live_runs=3, quiet=8,
    ),
}  # fmt: skip


@dataclass
class Measured:
    """Values by figure, and what they were computed from."""

    values: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was measured, never one between two."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


async def measure(size: Size, folder: Path, *, parts: Sequence[str] = PARTS) -> Measured:
    """Measure on a fresh control plane; the many live sessions get another one."""
    found = Measured()
    if set(parts) - {"live"}:
        async with Ground.made(folder) as ground:
            if "alone" in parts:
                await _alone(found, ground, size)
            if "refusal" in parts:
                await _refusal(found, ground, size)
            if "crowded" in parts:
                await _crowded(found, ground, size)
            if "deadline" in parts:
                await _deadline(found, ground, size)
            if "throughput" in parts:
                await _throughput(found, ground, size)
    if "live" in parts:
        second = folder / "live"
        second.mkdir()
        async with Ground.made(second) as ground:
            await _live(found, ground, size)
    return found


async def _throughput(found: Measured, ground: Ground, size: Size) -> None:
    rounds: list[dict[str, Any]] = []
    for number in range(size.rounds):
        _say(f"throughput, round {number + 1} of {size.rounds}")
        small = await throughput.ours(ground, size.small, ends=not size.large)
        levels = {level: await throughput.raw(ground, size.small, in_flight=level, ends=not size.large)
                  for level in LEVELS}  # fmt: skip
        best = max(levels, key=lambda level: levels[level].granted)
        plain = await throughput.naive(ground, size.naive)
        one: dict[str, Any] = {
            "small": {
                "ours": small.granted,
                "raw": {str(level): rates.granted for level, rates in levels.items()},
                "naive": plain.granted,
            },
            "grant-300": small.granted / levels[best].granted,
            "naive": small.granted / plain.granted,
        }
        if size.large:
            large = await throughput.ours(ground, size.large, ends=True)
            limit = await throughput.raw(ground, size.large, in_flight=best, ends=True)
            one["large"] = {"ours": large.granted, "raw": limit.granted, "in flight": best}
            one["grant-1000"] = large.granted / limit.granted
        else:
            large, limit = small, max(levels.values(), key=lambda rates: rates.ended or 0.0)
        if large.ended and limit.ended:
            one["ends"] = {"ours": large.ended, "raw": limit.ended}
            one["end-1000"] = large.ended / limit.ended
        _say(str(one))
        rounds.append(one)
    found.details["throughput"] = rounds
    for figure in ("grant-300", "grant-1000", "end-1000", "naive"):
        values = [one[figure] for one in rounds if figure in one]
        if values:
            found.values[figure] = statistics.median(values)


async def _alone(found: Measured, ground: Ground, size: Size) -> None:
    _say("one session at a time")
    latency = await alone(ground, size.alone)
    found.values["alone"] = latency.ratio
    found.details["alone"] = {"ours": _spread(latency.ours), "raw": _spread(latency.raw)}


async def _refusal(found: Measured, ground: Ground, size: Size) -> None:
    _say("from a Job's end to its token's refusal, idle")
    refusals = await refusal.idle(ground, size.refusals)
    found.values["refusal-idle"] = percentile(refusals.milliseconds, 99)
    found.values["writes"] = refusals.costs.writes
    found.details["refusal-idle"] = _spread(refusals.milliseconds)
    steps = refusals.steps
    found.details["refusal-idle, steps"] = {
        "reaction": _spread(steps.reaction),
        "deletion": _spread(steps.deletion),
        "effect": _spread(steps.effect),
    }
    found.details["requests of a session"] = {"writes": refusals.costs.writes, "reads": refusals.costs.reads}


async def _crowded(found: Measured, ground: Ground, size: Size) -> None:
    _say(f"the same while {size.others} others end")
    values = await refusal.crowded(ground, measured=size.crowded, others=size.others)
    found.values["refusal-crowded"] = percentile(values, 99)
    found.details["refusal-crowded"] = _spread(values)


async def _deadline(found: Measured, ground: Ground, size: Size) -> None:
    _say(f"{size.deadlines} deadlines")
    late = await deadlines.lateness(ground, size.deadlines, head_start=size.head_start, window=size.window)
    found.values["deadline"] = percentile(late, 99)
    found.details["deadline"] = _spread(late)


async def _live(found: Measured, ground: Ground, size: Size) -> None:
    _say(f"{size.live} live sessions")
    lives = await live.live(ground, size.live, few=10, runs=size.live_runs, quiet=size.quiet)
    found.values |= {
        "live-memory": max(lives.memory),
        "live-writes": lives.at_rest.writes,
        "live-processor": lives.at_rest.processor,
        "live-processor-swept": lives.at_rest.processor_swept,
        "live-restart": lives.restart,
        "live-latency": lives.latency_ratio,
    }
    found.details["live"] = {
        "memory after granting and after a restart, MB": lives.memory,
        "processor seconds of a sweep": lives.at_rest.sweep,
        "grant, few live, ms": _spread(lives.few),
        "grant, many live, ms": _spread(lives.many),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "count": len(values),
        "median": statistics.median(values),
        "90th percentile": percentile(values, 90),
        "99th percentile": percentile(values, 99),
        "maximum": max(values),
    }


def _say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
