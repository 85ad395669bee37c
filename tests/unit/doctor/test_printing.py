"""What the doctor prints: areas in order, the worst first, safe on a terminal, and the same for machines."""

from __future__ import annotations

import json

from tasksession.doctor.finding import Area, Finding, Report, Severity, listed
from tasksession.doctor.printing import as_json, as_text

FINDINGS = (
    Finding(Area.PEOPLE, Severity.NOTE, "Namespace shop", "User bob may impersonate.", "Keep them few."),
    Finding(Area.PEOPLE, Severity.FAILURE, "ClusterRole edit", "It gives use to all."),
    Finding(Area.JOBS, Severity.UNCHECKED, "CronJobs", "Could not be checked: no.", "Ask somebody."),
    Finding(Area.JOBS, Severity.WARNING, "Job a/b", "One."),
    Finding(Area.JOBS, Severity.WARNING, "Job a/c", "Two."),
)


def test_text_has_every_area_and_the_worst_first() -> None:
    """An area without findings is fine, in the others failures come before notes."""
    text = as_text(Report(FINDINGS), user="root")
    headings = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert headings == [
        "Examined as root.",
        "Guards: fine",
        "API server and definitions: fine",
        "The operator at work: fine",
        "The operator's rights: fine",
        "People and other identities: 1 failure, 1 note",
        "Jobs and CronJobs: 2 warnings, 1 not checked",
        "Live sessions: fine",
        "1 failure, 2 warnings, 1 not checked, 1 note.",
    ]
    assert text.index("failure: ClusterRole edit") < text.index("note: Namespace shop")


def test_all_fine_is_said() -> None:
    """Without findings the last line says so."""
    assert as_text(Report(()), user="root").splitlines()[-1] == "All is fine."


def test_a_name_cannot_write_to_the_terminal() -> None:
    """Names of users are free text: control characters in them are not printed."""
    text = as_text(Report((Finding(Area.PEOPLE, Severity.NOTE, "User \x1b[2J", "x\x07y.\nGuards: fine"),)), user="a\rb")
    assert text.isprintable() or set(text) - {"\n"} == {each for each in text if each.isprintable()}
    assert text.count("Guards: fine") == 2 and "\n    x?y.?Guards: fine" in text


def test_json_has_the_same_findings() -> None:
    """Machines get each finding with its area, severity, object, problem and advice, and the status."""
    found = json.loads(as_json(Report(FINDINGS), user="root"))
    assert found["status"] == 1 and found["examinedAs"] == "root"
    assert found["counts"] == {"failure": 1, "warning": 2, "not checked": 1, "note": 1}
    assert [each["severity"] for each in found["findings"]] == [
        "failure", "note", "warning", "warning", "not checked",
    ]  # fmt: skip
    assert set(found["findings"][0]) == {"area", "severity", "object", "problem", "advice"}


def test_the_status_tells_failures_from_warnings() -> None:
    """1 with a failure, 3 with a warning or a gap, 0 with notes alone."""
    assert Report(FINDINGS).status == 1
    assert Report(FINDINGS[2:]).status == Report(FINDINGS[2:3]).status == 3
    assert Report(FINDINGS[:1]).status == Report(()).status == 0


def test_long_lists_are_cut() -> None:
    """A group of hundreds does not fill the screen; what is left out is counted."""
    assert listed(["a", "b", "a"]) == "a, b"
    assert listed([str(number) for number in range(15)]).endswith("11 and 3 more")
