"""The operator dies at any stage of an annotated Job's life and never comes back: Kubernetes alone ends the rights."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster import wait_for
from tests.faults.campaign import Reference
from tests.faults.lives import EXPIRING, NAME, annotate
from tests.support.lane import Lane
from tests.support.plans import Fault, Plan, Trigger

#: Long enough for a life to come to its release on a busy machine, short enough to be waited for.
_TTL = 20
#: The timer rounds up to whole seconds, and Job controller, TTL controller and garbage collection take their moment.
_AFTER_DEADLINE = 8


def by_deadline(lane: Lane) -> None:
    """Let the deadline come."""
    wait_for(
        lambda: not lane.world.all_children(), timeout=_TTL + _AFTER_DEADLINE, what="the deadline to end all",
        interval=0.3,
    )  # fmt: skip


def by_deleting_the_job(lane: Lane) -> None:
    """Delete the Job, as its author may."""
    lane.world.jane.delete(lane.world.path("Job", NAME))
    wait_for(lambda: not lane.world.all_children(), timeout=5, what="what hangs on the Job to go", interval=0.1)


def by_deleting_the_session(lane: Lane) -> None:
    """Delete the TaskSession, as its requester may."""
    lane.world.jane.delete(f"{lane.world.sessions}/{NAME}")
    wait_for(lambda: not lane.world.all_children(), timeout=5, what="what hangs on it to go", interval=0.1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", [by_deadline, by_deleting_the_job, by_deleting_the_session])
def test_rights_end_wherever_the_operator_died(
    lanes: list[Lane], references: dict[str, Reference], end: Callable[[Lane], None]
) -> None:
    """Killed after any write up to the release, and not started again: identity, rights and timer go all the same."""
    writes = references[EXPIRING.title].writes
    stages = range(1, writes.index("patch jobs") + 2)
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def one(stage: int) -> tuple[int, dict[str, list[str]]]:
        lane = free.get()
        try:
            return stage, killed_for_good(lane, stage, end)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(len(lanes)) as pool:
        found = dict(pool.map(one, stages))
    # There was something to lose, or nothing would have been shown. A write more than in the reference run, such as a
    # status that says what a session waits for, makes the stages come earlier.
    assert any("RoleBinding" in left for left in found.values()), found
    assert "ServiceAccount" in found[stages[-1]]
    print(f"{len(found)} of {len(stages)} stages: the rights ended {end.__name__.replace('_', ' ')}")  # noqa: T201


def killed_for_good(lane: Lane, stage: int, end: Callable[[Lane], None]) -> dict[str, list[str]]:
    """Have the operator killed after a write, let it end, and bring the lane back; returns what there was to end."""
    lane.tends = False
    lane.proxy.arm(Plan(Trigger(number=stage), Fault.KILL_AFTER))
    try:
        annotate(lane, ttl=f"{_TTL}s")
        wait_for(lambda: not lane.operator.alive, timeout=_TTL, what=f"the operator to die after write {stage}")
        left = lane.world.all_children()
        end(lane)
        return left
    finally:
        # A Job that lost its session asks for another one. The writes for that would be counted in the next plan, so it
        # has to be gone before there is an operator again.
        lane.operator.kill()
        lane.clear()
        lane.tends = True
        lane.operator.start(wait=False)
        lane.operator.wait_ready(60)
