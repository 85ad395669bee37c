"""What the doctor says: one finding an object and fault, by area and severity.

Made by the checks, shown by the command line and, at the operator's start, in its log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    FAILURE = "failure"
    """Something that the product promises does not hold."""
    WARNING = "warning"
    """Something that weakens what it promises, and that may be meant."""
    UNCHECKED = "not checked"
    """Something that could not be looked at."""
    NOTE = "note"
    """Something that nobody can change, and that who decides here should know."""


class Area(StrEnum):
    """What a finding is about, in the order in which it is looked at."""

    GUARDS = "Guards"
    CLUSTER = "API server and definitions"
    WORK = "The operator at work"
    OPERATOR = "The operator's rights"
    PEOPLE = "People and other identities"
    JOBS = "Jobs and CronJobs"
    SESSIONS = "Live sessions"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `subject` names the object, `problem` and `advice` are sentences."""

    area: Area
    severity: Severity
    subject: str
    problem: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one examination."""

    findings: tuple[Finding, ...]

    def of(self, area: Area) -> tuple[Finding, ...]:
        """The findings of an area, the worst first."""
        order = list(Severity)
        found = [each for each in self.findings if each.area is area]
        return tuple(sorted(found, key=lambda each: order.index(each.severity)))

    def count(self, severity: Severity) -> int:
        """How many findings have a severity."""
        return sum(each.severity is severity for each in self.findings)

    @property
    def status(self) -> int:
        """The exit status: 1 with a failure, 3 with a warning or something that was not checked, else 0."""
        if self.count(Severity.FAILURE):
            return 1
        return 3 if self.count(Severity.WARNING) or self.count(Severity.UNCHECKED) else 0


def unchecked(area: Area, subject: str, reason: str) -> Finding:
    """Say that something could not be looked at, and why."""
    advice = "Run the doctor as somebody who may read it, such as an administrator of the cluster."
    return Finding(area, Severity.UNCHECKED, subject, f"Could not be checked: {reason}", advice)


def listed(words: Iterable[str], most: int = 12) -> str:
    """Write words one after the other, cut after so many."""
    found = list(dict.fromkeys(words))
    rest = len(found) - most
    return ", ".join(found[:most]) + (f" and {rest} more" if rest > 0 else "")
