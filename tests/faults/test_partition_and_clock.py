"""Rows 11 and 12: an operator that is cut off for longer than a session lives, and one whose clock is wrong."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.campaign import Reference, Result, run_all, verdict
from tests.faults.lives import COMPLETING, EXPIRING, LIVES, NAME, REVOKED, Life, begin_short
from tests.faults.side_by_side import side_by_side
from tests.faults.tables import Record, note, note_one
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Trigger
from tests.support.proxy import Line

SITE = Path(__file__).parent / "site"
OPERATOR = Path(__file__).resolve().parents[2] / "operator" / "tasksession"


@pytest.mark.timeout(300)
def test_a_partition_longer_than_the_session_keeps_no_right(lanes: list[Lane], record_property: Record) -> None:
    """Nobody reaches the operator until after the deadline: token, rights, identity and pods are gone all the same."""

    def cut_off(lane: Lane, life: Life) -> None:
        lane.proxy.arm()
        begin_short(lane, life)
        lane.wait(lambda: lane.world.status(NAME)["state"] == "Active", what="the session to be granted")
        status = lane.world.status(NAME)
        token = lane.token(NAME, status["serviceAccountName"])
        lane.wait(lambda: lane.accepted(token), what="the token to be accepted")
        lane.proxy.set_line(Line.PARTITIONED)
        if life is REVOKED:
            life.finish(lane)
        lane.wait(lambda: not lane.accepted(token), what="the token to be refused (S2)", timeout=60)
        late = time.time() - datetime.fromisoformat(status["deadline"]).timestamp()
        assert late < 13, f"S2: the token was accepted {late:.1f} s after the deadline"
        lane.wait(lambda: not lane.world.all_children(), what="Kubernetes to take what is left")
        lane.wait(lambda: not lane.admin.list(lane.world.path("Pod")), what="the pods to be ended")
        assert lane.world.status(NAME)["state"] == "Active"
        lane.proxy.set_line(Line.OPEN)
        lane.wait(lambda: lane.world.status(NAME)["state"] in ("Expired", "Revoked"), what="the status to say so")
        lane.clear()

    side_by_side(lanes, LIVES, cut_off)
    for life in LIVES:
        note_one(record_property, row="11", fault="partition beyond the deadline", life=life.title)


@pytest.mark.timeout(300)
def test_a_wrong_clock_changes_no_deadline(
    ground: Ground,
    references: dict[str, Reference],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """An operator whose machine is an hour early, or late, makes the same deadlines and ends with the reference."""
    monkeypatch.setenv("PYTHONPATH", str(SITE))
    for shift in ("3600", "-3600"):
        monkeypatch.setenv("TASKSESSION_FAULT_CLOCK", shift)
        lanes = [Lane(ground, tmp_path / f"{shift}-{life.ends_as}", preload=False) for life in LIVES]
        try:
            for lane in lanes:
                lane.start()
            hour = datetime.fromisoformat(lanes[0].operator.lines("the operator is ready")[-1]["time"])
            assert 3500 < abs(hour.timestamp() - time.time()) < 3700, "the clock was not bent"
            # A plan that changes nothing: what is tried is the clock.
            plan = Plan(Trigger(number=1), Fault.DELAY, seconds=0.0)
            results = run_all(lanes, [(life, plan) for life in (COMPLETING, REVOKED, EXPIRING)], references)
        finally:
            for lane in lanes:
                lane.close()
        assert not verdict(results), verdict(results)
        note(record_property, [Result(each.life, plan) for each in results], row="12", fault=f"clock {shift} s")


def test_the_operator_never_reads_the_machines_clock() -> None:
    """No module of the operator asks for the time of day: deadlines are compared with the API server's time only."""
    asks = re.compile(r"time\.time\(|time\.time_ns\(|datetime\.now\(|utcnow\(|date\.today\(")
    found = [str(file) for file in OPERATOR.rglob("*.py") if asks.search(file.read_text())]
    assert found == []
