"""Runs lives under plans, many lanes side by side, and compares each with the life's reference.

A result without complaints means: the end state and what was created and deleted are those of the reference, the
invariants held, the plan's fault did happen, and a quiet window followed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.lives import LIVES, Life, live
from tests.faults.side_by_side import side_by_side
from tests.support import invariants
from tests.support.audit import creations_and_deletions
from tests.support.lane import Lane
from tests.support.plans import Plan
from tests.support.snapshot import Snapshot, differences

_NOT_FIRED = "the fault did not happen"
#: Streams are opened anew every so often, and what came meanwhile is listed instead of told: a plan that waits for an
#: event may miss it. A life in which its fault does not happen shows nothing, and is lived again.
_ATTEMPTS = 4


@dataclass(frozen=True)
class Reference:
    """A life without faults: its end state, what was created and deleted, and its writes in order."""

    state: dict[str, Any]
    counts: dict[str, int]
    writes: tuple[str, ...]


@dataclass
class Result:
    """What came of one plan; `complaints` is empty where everything held."""

    life: Life
    plan: Plan | None
    complaints: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say what was tried and what did not hold."""
        lines = [f"{self.life.title}: {self.plan}", *(f"    {line}" for line in [*self.complaints, *self.notes])]
        return "\n".join(lines)


def observe(lane: Lane, life: Life) -> Reference:
    """Run a life without faults in a lane whose operator works."""
    lane.proxy.arm()
    before = len(lane.ground.audit.writes(lane.namespace))
    live(lane, life)
    lane.wait_quiet()
    entries = lane.ground.audit.writes(lane.namespace)[before:]
    writes = tuple(f"{request.verb} {request.resource}" for request in lane.proxy.writes)
    seen = Snapshot.take(lane.admin, lane.namespace)
    reference = Reference(comparable(seen, lane), creations_and_deletions(entries), writes)
    lane.clear()
    return reference


class References:
    """Each life's run without faults, run when it is first asked for. Called by fixtures and tests, before any plan."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._found: dict[str, Reference] = {}

    def of(self, *lives: Life) -> dict[str, Reference]:
        """Return the references of some lives by title; those that are missing are run side by side."""

        def watch(lane: Lane, life: Life) -> None:
            self._found[life.title] = observe(lane, life)

        if missing := [life for life in lives if life.title not in self._found]:
            side_by_side(self._lanes, missing, watch)
        return {life.title: self._found[life.title] for life in lives}

    def all(self) -> dict[str, Reference]:
        """Return the references of all lives."""
        return self.of(*LIVES)


def comparable(seen: Snapshot, lane: Lane) -> dict[str, Any]:
    """Return the end state with the names that differ between lanes taken out."""
    return {key: _renamed(value, lane.namespace) for key, value in seen.normalised().items()}


def _renamed(value: Any, namespace: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(each, namespace) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, namespace) for each in value]
    return value.replace(namespace, "<namespace>") if isinstance(value, str) else value


def run(lane: Lane, life: Life, plan: Plan, reference: Reference) -> Result:
    """Run a life under a plan and judge it."""
    result = Result(life, plan)
    lane.violations = []
    said_before = len(lane.operator.log.read_text())
    before = len(lane.ground.audit.writes(lane.namespace))
    lane.proxy.arm(plan)
    try:
        live(lane, life)
        _settle(lane, reference)
    except (TimeoutError, AssertionError) as error:
        result.complaints.append(f"{type(error).__name__}: {error}")
    entries = lane.ground.audit.writes(lane.namespace)[before:]
    seen = Snapshot.take(lane.admin, lane.namespace)
    result.complaints += [f"L1: {line}" for line in differences(reference.state, comparable(seen, lane))]
    result.complaints += [f"counts: {line}" for line in differences(reference.counts, creations_and_deletions(entries))]
    lane.check()
    result.complaints += lane.violations
    result.complaints += invariants.identities_used_once(entries, 1)
    result.complaints += invariants.nothing_left(seen)
    events = lane.admin.list(lane.world.path("Event"))
    said = lane.operator.log.read_text()[said_before:]
    result.complaints += invariants.no_tokens(seen.objects, events, said)
    if plan not in lane.proxy.fired:
        result.complaints.append(_NOT_FIRED)
    result.complaints += invariants.crashes(said)
    if result.complaints:
        result.notes += [f"write {request}" for request in lane.proxy.writes]
        result.notes += [f"log: {line[:400]}" for line in said.splitlines()[-20:]]
    return result


def _settle(lane: Lane, reference: Reference) -> None:
    """Wait until the end state is the reference's, and then for a quiet window."""
    lane.wait(
        lambda: not differences(reference.state, comparable(Snapshot.take(lane.admin, lane.namespace), lane)),
        what="the end state of the reference (L1)",
        interval=0.6,
    )
    lane.wait_quiet()


def run_all(
    lanes: Sequence[Lane],
    plans: Iterable[tuple[Life, Plan]],
    references: dict[str, Reference],
    judge: Callable[[Lane, Life, Plan, Reference], Result] = run,
) -> list[Result]:
    """Run all plans, each lane taking the next one when it is free."""
    waiting: queue.SimpleQueue[tuple[Life, Plan]] = queue.SimpleQueue()
    for each in plans:
        waiting.put(each)
    results: list[Result] = []

    def work(lane: Lane) -> None:
        while True:
            try:
                life, plan = waiting.get_nowait()
            except queue.Empty:
                return
            result = Result(life, plan)
            try:
                for _ in range(_ATTEMPTS):
                    result = judge(lane, life, plan, references[life.title])
                    lane.clear()
                    if result.complaints != [_NOT_FIRED]:
                        break
            except Exception as error:
                result.complaints.append(f"the lane broke: {type(error).__name__}: {error}")
                results.append(result)
                return
            results.append(result)

    threads = [threading.Thread(target=work, args=(lane,), name=lane.namespace) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A lane that broke leaves its share to the others; when none was left, the rest was not tried.
    while not waiting.empty():
        life, plan = waiting.get_nowait()
        results.append(Result(life, plan, ["not tried: no lane was left"]))
    return results


def verdict(results: Sequence[Result]) -> str:
    """Say which plans did not hold, with all that is known of each; empty where all held."""
    failed = [str(result) for result in results if result.complaints]
    return f"{len(failed)} of {len(results)} plans did not hold:\n" + "\n".join(failed) if failed else ""
