"""The benchmark in its small size: it measures every figure, and no ratio is far off."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.benchmark import bars, report
from tests.benchmark.measurement import SIZES, measure

#: Only the full size tells this one from the one with few sessions.
_FULL_ONLY = {"grant-1000"}


@pytest.mark.timed
@pytest.mark.timeout(600)
def test_the_small_size_measures_every_figure(tmp_path: Path) -> None:
    """One round of everything runs through; its ratios reach their bars; the page's results can be written from it."""
    found = asyncio.run(measure(SIZES["smoke"], tmp_path))
    judgements = bars.judge(bars.read(), found.values, smoke=True)
    print("\n".join(bars.lines(judgements, smoke=True)))
    assert {each.bar.figure for each in judgements} == {bar.figure for bar in bars.read()} - _FULL_ONLY
    assert bars.passed(judgements)
    page = Path(shutil.copy(report.PAGE, tmp_path / "performance.md"))
    result = {"size": "smoke", "date": "today", "seconds": 90, "machine": {"processor": "one"}}
    report.write({**result, "values": found.values, "details": found.details}, judgements, page=page)
    text = page.read_text()
    assert all(each.bar.text in text for each in judgements)
    assert page.with_suffix(".svg").exists()
