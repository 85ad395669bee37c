"""Probes that tell the truth: each way of not working is noticed within 30 s, and the process recovers or ends."""

from __future__ import annotations

import signal
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.operator_process import NAMESPACE
from tests.faults.side_by_side import side_by_side
from tests.faults.tables import Record, note_one
from tests.faults.test_partition_and_clock import SITE
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Traffic, Trigger

NOTICED = 30.0


def _asked(lane: Lane, path: str) -> tuple[int, str]:
    """Ask a probe; 0 where none answers, as for a kubelet's time-out."""
    try:
        return lane.operator.probe(path)
    except (TimeoutError, urllib.error.URLError, ConnectionError):
        return 0, ""


def _noticed(lane: Lane, path: str, words: str) -> float:
    """Wait until a probe fails for the right reason; returns after how many seconds."""
    started = time.monotonic()

    def probe() -> bool:
        status, text = _asked(lane, path)
        return status != 200 and words in text

    lane.wait(probe, what=f"{path} to say {words!r}", timeout=NOTICED + 5)
    took = time.monotonic() - started
    assert took <= NOTICED, f"{path} took {took:.0f} s"
    return took


def _well(lane: Lane) -> None:
    """Wait until both probes are content again."""
    lane.wait(lambda: all(_asked(lane, path)[0] == 200 for path in ("/livez", "/readyz")), what="the probes to be well")


def dead_watch(lane: Lane) -> None:
    """Streams fall silent, and cannot be opened again: readiness says which; liveness does not end the process."""
    lane.start()
    lane.proxy.arm(
        Plan(Trigger(Traffic.EVENT, times=10**6), Fault.STALL), Plan(Trigger(Traffic.WATCH, times=10**6), Fault.HANG)
    )
    _noticed(lane, "/readyz", "streams: nothing was heard of")
    assert _asked(lane, "/livez")[0] == 200
    lane.proxy.arm()
    _well(lane)


def stuck_queue(lane: Lane) -> None:
    """Every worker waits for an answer that does not come, and sessions wait for a worker."""
    lane.start()
    plan = Plan(Trigger(verb="create", resource="jobs", times=10**6), Fault.HANG)
    lane.proxy.arm(plan)
    for number in range(4):
        lane.world.request(f"held-{number}")
    _noticed(lane, "/readyz", "queue: ")
    lane.proxy.arm()
    lane.proxy.sever()
    lane.wait(lambda: lane.world.status("held-3")["state"] == "Active", what="the queue to move again", timeout=90)
    _well(lane)


def blocked_loop(lane: Lane) -> None:
    """The event loop stands still: no probe answers, and the process ends itself and is started again."""
    lane.start()
    lane.operator.signal(signal.SIGUSR1)
    started = time.monotonic()
    lane.tends = False
    lane.wait(lambda: _asked(lane, "/livez")[0] == 0, what="liveness to fail", timeout=NOTICED)
    assert time.monotonic() - started < NOTICED
    lane.wait(lambda: not lane.operator.alive, what="the process to end", timeout=50)
    assert "Timeout" in lane.operator.log.read_text()
    lane.tends = True
    lane.world.request("after")
    lane.wait(lambda: lane.world.status("after")["state"] == "Active", what="the next process to work")


def lost_lease(lane: Lane) -> None:
    """The Lease can no longer be renewed: the process ends before another may begin, and comes back."""
    lane.start()
    lane.proxy.arm(
        Plan(Trigger(Traffic.ASIDE, resource="leases", times=8), Fault.ANSWER, status=500, reason="InternalError"),
        Plan(Trigger(Traffic.READ, resource="leases", times=8), Fault.ANSWER, status=500, reason="InternalError"),
    )
    lane.tends = False
    started = time.monotonic()
    lane.wait(lambda: not lane.operator.alive, what="the process to end", timeout=NOTICED)
    assert time.monotonic() - started < 14
    assert lane.operator.lines("the Lease is lost")
    lane.proxy.arm()
    lane.tends = True
    lane.world.request("after")
    lane.wait(lambda: lane.world.status("after")["state"] == "Active", what="the next process to work")


CASES: tuple[tuple[Callable[[Lane], None], tuple[str, ...]], ...] = (
    (dead_watch, ()),
    (stuck_queue, ("--workers", "1", "--request-timeout", "60")),
    (blocked_loop, ()),
    (lost_lease, ("--lease-namespace", NAMESPACE, "--lease-name", "lease-of-probes")),
)


@pytest.mark.timeout(300)
def test_what_does_not_work_is_noticed(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """A dead watch, a stuck queue, a blocked loop, a lost Lease: noticed within 30 s, and over when the cause is."""
    monkeypatch.setenv("PYTHONPATH", str(SITE))
    monkeypatch.setenv("TASKSESSION_FAULT_BLOCK", "1")
    lanes = [Lane(ground, tmp_path / case.__name__, arguments=arguments, preload=False) for case, arguments in CASES]
    try:
        side_by_side(lanes, [case for case, _ in CASES], lambda lane, case: case(lane))
    finally:
        for lane in lanes:
            lane.close()
    for case, _ in CASES:
        note_one(record_property, row="17", fault=f"probe: {case.__name__.replace('_', ' ')}")
