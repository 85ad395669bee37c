"""What the figures are held to: reads the bars, compares, and says what was reached and what was missed.

The benchmark calls it at its end, and it can be called on an older result: `python -m tests.benchmark.bars FILE`.
A figure without a result counts as missed where all have to be there.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("bars.toml")


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure's bars; None where there is none of that kind."""

    figure: str
    text: str
    better: str
    unit: str = ""
    must: float | None = None
    goal: float | None = None
    smoke: float | None = None

    def reaches(self, value: float, bar: float) -> bool:
        """Whether a value is as good as a bar, or better."""
        return value >= bar if self.better == "higher" else value <= bar

    def shown(self, value: float | None, *, as_bar: bool = False) -> str:
        """A value for people; a bar has its direction."""
        if value is None:
            return "-"
        sign = ("≥ " if self.better == "higher" else "≤ ") if as_bar else ""
        digits = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
        return f"{sign}{digits}{' ' + self.unit if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one figure: value and, for each bar, whether it was reached; None where there is no such bar."""

    bar: Bar
    value: float | None
    must: bool | None
    goal: bool | None


def read(path: Path = FILE) -> list[Bar]:
    """Read the bars in the order of the file."""
    return [Bar(figure=figure, **fields) for figure, fields in tomllib.loads(path.read_text()).items()]


def judge(bars: list[Bar], values: Mapping[str, float], *, smoke: bool) -> list[Judgement]:
    """Compare values with bars; in a smoke run only figures with a bar for it count."""
    found = []
    for bar in bars:
        must = bar.smoke if smoke else bar.must
        value = values.get(bar.figure)
        if smoke and value is None:
            continue
        found.append(
            Judgement(
                bar=bar,
                value=value,
                must=None if must is None else value is not None and bar.reaches(value, must),
                goal=None if bar.goal is None or smoke else value is not None and bar.reaches(value, bar.goal),
            )
        )
    return found


def lines(judgements: list[Judgement], *, smoke: bool) -> list[str]:
    """Say for each figure what was reached and what was missed."""
    said = {True: "reached", False: "MISSED", None: "-"}
    width = max(len(each.bar.text) for each in judgements)
    rows = [f"{'figure':{width}}  {'value':>10}  {'must':>18}  {'goal':>18}"]
    for each in judgements:
        bar = each.bar
        must = bar.smoke if smoke else bar.must
        verdicts = [
            f"{bar.shown(value, as_bar=True)} {said[reached]}" if reached is not None else "-"
            for value, reached in ((must, each.must), (bar.goal, each.goal))
        ]
        rows.append(f"{bar.text:{width}}  {bar.shown(each.value):>10}  {verdicts[0]:>18}  {verdicts[1]:>18}")
    return rows


def passed(judgements: list[Judgement]) -> bool:
    """Whether no must was missed."""
    return all(each.must is not False for each in judgements)


def main() -> int:
    """Judge a result that was written earlier; the exit status is 1 where a must was missed."""
    result = json.loads(Path(sys.argv[1]).read_text())
    smoke = result["size"] == "smoke"
    judgements = judge(read(), result["values"], smoke=smoke)
    print("\n".join(lines(judgements, smoke=smoke)))
    return 0 if passed(judgements) else 1


if __name__ == "__main__":
    sys.exit(main())
