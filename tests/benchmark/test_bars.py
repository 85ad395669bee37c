"""What the checker says of figures that reach their bars, miss them, or are not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.benchmark import bars
from tests.benchmark.measurement import percentile

HIGHER = bars.Bar(figure="rate", text="Rate", better="higher", must=0.5, goal=0.8, smoke=0.2)
LOWER = bars.Bar(figure="wait", text="Wait", better="lower", unit="ms", must=50, goal=20)


def test_each_figure_has_a_direction_and_a_bar() -> None:
    """The file says of every figure which way is good and what it is held to; a goal is never below its must."""
    for bar in bars.read():
        assert bar.better in ("higher", "lower"), bar.figure
        assert bar.must is not None or bar.goal is not None, bar.figure
        if bar.must is not None and bar.goal is not None:
            assert bar.reaches(bar.goal, bar.must), bar.figure


@pytest.mark.parametrize(
    ("rate", "wait", "must", "goal"),
    [(0.9, 10.0, True, True), (0.8, 20.0, True, True), (0.6, 40.0, True, False), (0.4, 60.0, False, False)],
)
def test_values_are_compared_the_right_way_round(rate: float, wait: float, must: bool, goal: bool) -> None:
    """Higher is better for one, lower for the other; a value on the bar reaches it."""
    for each in bars.judge([HIGHER, LOWER], {"rate": rate, "wait": wait}, smoke=False):
        assert (each.must, each.goal) == (must, goal)


def test_a_figure_that_was_not_measured_is_missed() -> None:
    """No value is never as good as one; only a smoke run may leave figures out."""
    (missing,) = bars.judge([HIGHER], {}, smoke=False)
    assert missing.must is False
    assert not bars.passed([missing])
    assert bars.judge([HIGHER], {}, smoke=True) == []


def test_a_smoke_run_is_held_to_its_own_bars() -> None:
    """Absolute figures have no bar in a smoke run, and goals have none either."""
    rate, wait = bars.judge([HIGHER, LOWER], {"rate": 0.3, "wait": 999.0}, smoke=True)
    assert (rate.must, rate.goal) == (True, None)
    assert (wait.must, wait.goal) == (None, None)
    assert bars.passed([rate, wait])


def test_what_was_missed_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judging an older result prints a line for each figure, and its exit status tells of a missed must."""
    values = {bar.figure: bar.goal if bar.goal is not None else bar.must for bar in bars.read()}
    file = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["bars", str(file)])
    file.write_text(json.dumps({"size": "full", "values": values}))
    assert bars.main() == 0
    assert "MISSED" not in capsys.readouterr().out
    file.write_text(json.dumps({"size": "full", "values": {**values, "alone": 2.5}}))
    assert bars.main() == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line]
    assert "2.5" in line


def test_percentiles_are_values_that_were_measured() -> None:
    """The 99th percentile of 100 values is the second largest, of few values the largest."""
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile([1.0], 50) == 1.0


def test_large_values_are_written_out() -> None:
    """People read 1,000 ms and 83.1 ms, never 1e+03."""
    assert LOWER.shown(1000, as_bar=True) == "≤ 1,000 ms"
    assert LOWER.shown(1986.6) == "1,987 ms"
    assert LOWER.shown(999.6) == "1,000 ms"
    assert LOWER.shown(83.14) == "83.1 ms"
