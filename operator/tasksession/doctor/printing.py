"""A report as text for people and as JSON for machines.

Called by the command line. What others chose, such as names of users, is printed without control characters.
"""

from __future__ import annotations

import json
import textwrap

from tasksession.doctor.finding import Area, Finding, Report, Severity

_WIDTH = 100


def as_text(report: Report, *, user: str) -> str:
    """Write a report for people: each area, and what was found in it."""
    lines = [f"Examined as {_plain(user)}.", ""]
    for area in Area:
        found = report.of(area)
        lines.append(f"{area.value}: {_counts(found) if found else 'fine'}")
        for finding in found:
            lines.append(f"  {finding.severity.value}: {_plain(finding.subject)}")
            lines.extend(_wrapped(finding.problem))
            lines.extend(_wrapped(finding.advice))
    lines += ["", f"{_counts(report.findings) if report.findings else 'All is fine'}."]
    return "\n".join(lines)


def as_json(report: Report, *, user: str) -> str:
    """Write a report for machines."""
    findings = [
        {
            "area": each.area.value,
            "severity": each.severity.value,
            "object": each.subject,
            "problem": each.problem,
            "advice": each.advice,
        }
        for area in Area
        for each in report.of(area)
    ]
    counts = {severity.value: report.count(severity) for severity in Severity}
    return json.dumps({"examinedAs": user, "status": report.status, "counts": counts, "findings": findings}, indent=2)


def _counts(findings: tuple[Finding, ...]) -> str:
    words = []
    for severity in Severity:
        number = sum(each.severity is severity for each in findings)
        plural = "s" if number > 1 and severity is not Severity.UNCHECKED else ""
        words += [f"{number} {severity.value}{plural}"] if number else []
    return ", ".join(words)


def _wrapped(sentence: str) -> list[str]:
    indent = "    "
    return textwrap.wrap(
        _plain(sentence), _WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
