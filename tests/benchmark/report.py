"""Writes a result into docs/performance.md, between its two marks, and draws what can be drawn.

The command line calls it when it is told to. The text around the marks is written by hand and left alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmark.bars import Judgement

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
PLOT = PAGE.with_suffix(".svg")
BEGIN = "<!-- results: begin (written by `make bench`) -->"
END = "<!-- results: end -->"
#: The figures of a round, and what they are called over their columns.
_RATIOS = {
    "grant-300": "ours ÷ raw",
    "grant-1000": "the same, large",
    "end-1000": "ended, ours ÷ raw",
    "naive": "ours ÷ naive",
}
_SAID = {True: "reached", False: "**missed**", None: ""}

_WIDTH, _ROW, _LEFT = 720, 22, 190


def write(result: Mapping[str, Any], judgements: Sequence[Judgement], *, page: Path = PAGE) -> None:
    """Replace what stands between the marks; ValueError where the page has none."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for results: it needs the lines {BEGIN} and {END}")
    plot = plotted(result["details"])
    if plot:
        page.with_suffix(".svg").write_text(plot)
    body = "\n".join(block(result, judgements, plot=bool(plot)))
    page.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")


def block(result: Mapping[str, Any], judgements: Sequence[Judgement], *, plot: bool) -> list[str]:
    """The lines of the results: machine, table, details."""
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    lines = [
        f"Measured {result['date']}, size `{result['size']}`, in {result['seconds'] / 60:.1f} minutes.",
        f"Machine: {machine}.",
        "",
        "| figure | value | must | | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for each in judgements:
        bar = each.bar
        cells = [bar.text, bar.shown(each.value)]
        for value, reached in ((bar.must, each.must), (bar.goal, each.goal)):
            cells += [bar.shown(value, as_bar=True), _SAID[reached]]
        lines.append("| " + " | ".join(cells) + " |")
    if plot:
        lines += ["", "![Grants a second: ours, raw and naive](performance.svg)"]
    lines += ["", *_spreads(result["details"]), "", *_rates(result["details"])]
    return lines


def _spreads(details: Mapping[str, Any]) -> list[str]:
    rows = {
        "Apply to granted, ours": details.get("alone", {}).get("ours"),
        "Apply to granted, raw": details.get("alone", {}).get("raw"),
        "Job's end to refusal, idle": details.get("refusal-idle"),
        "- to the RoleBinding's deletion received": details.get("refusal-idle, steps", {}).get("reaction"),
        "- to its answer": details.get("refusal-idle, steps", {}).get("deletion"),
        "- to the first refusal": details.get("refusal-idle, steps", {}).get("effect"),
        "Job's end to refusal, others end too": details.get("refusal-crowded"),
        "Deadline to refusal": details.get("deadline"),
        "Apply to granted, few live": details.get("live", {}).get("grant, few live, ms"),
        "Apply to granted, many live": details.get("live", {}).get("grant, many live, ms"),
    }
    lines = ["| milliseconds | runs | median | 90th | 99th percentile | longest |", "|---|---|---|---|---|---|"]
    for text, spread in rows.items():
        if spread:
            values = [spread[key] for key in ("median", "90th percentile", "99th percentile", "maximum")]
            lines.append(f"| {text} | {spread['count']} | " + " | ".join(f"{value:.1f}" for value in values) + " |")
    return lines


def _rates(details: Mapping[str, Any]) -> list[str]:
    rounds = details.get("throughput") or []
    if not rounds:
        return []
    levels = list(rounds[0]["small"]["raw"])
    heads = ["round", "ours", *(f"raw {level}" for level in levels), "naive", "ours, large", "raw, large"]
    heads += ["ended, ours", "ended, raw", *_RATIOS.values()]
    lines = ["Sessions a second; a number beside raw is how many it had in flight:", ""]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for number, one in enumerate(rounds, start=1):
        small, large, ends = one["small"], one.get("large", {}), one.get("ends", {})
        values = [small["ours"], *(small["raw"][level] for level in levels), small["naive"]]
        values += [large.get("ours"), large.get("raw"), ends.get("ours"), ends.get("raw")]
        cells = ["-" if value is None else f"{value:.1f}" for value in values]
        cells += [f"{one[figure]:.2f}" if figure in one else "-" for figure in _RATIOS]
        lines.append(f"| {number} | " + " | ".join(cells) + " |")
    costs = details.get("requests of a session")
    if costs:
        lines += ["", f"A session's life took {costs['writes']:g} writes and {costs['reads']:.2f} reads."]
    return lines


def plotted(details: Mapping[str, Any]) -> str | None:
    """Draw the medians of grants a second as bars; None where nothing was measured."""
    rounds = details.get("throughput") or []
    if not rounds:
        return None
    small = [one["small"] for one in rounds]
    rows = [(who, statistics.median(one[who] for one in small)) for who in ("naive", "ours")]
    levels = list(small[0]["raw"])
    rows += [(f"raw, {level} in flight", statistics.median(one["raw"][level] for one in small)) for level in levels]
    scale = (_WIDTH - _LEFT - 70) / max(rate for _, rate in rows)
    height = _ROW * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for index, (text, rate) in enumerate(rows):
        top = 5 + index * _ROW
        colour = "#1a6faf" if text == "ours" else "#9aa5ad"
        parts.append(f'<text x="{_LEFT - 8}" y="{top + 15}" text-anchor="end">{text}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{top + 2}" width="{rate * scale:.1f}" height="16" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + rate * scale + 6:.1f}" y="{top + 15}">{rate:.1f}</text>')
    return "\n".join([*parts, "</svg>", ""])
