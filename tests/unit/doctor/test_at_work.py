"""The doctor on whether an operator works: the Lease, its age by the API server's clock, and what could not be seen."""

from __future__ import annotations

import pytest

from tasksession.doctor.facts import Unread
from tasksession.doctor.finding import Area, Severity
from tests.unit.doctor.cluster_facts import lease, only, report, seen_lease


def test_no_lease_is_a_warning_with_the_next_step() -> None:
    """Where no operator was ever seen, the sentence says so, and where to look; one without a Lease may be meant."""
    finding = only(report(lease=seen_lease(None)))
    assert (finding.area, finding.severity) == (Area.WORK, Severity.WARNING)
    assert finding.subject == "Lease access/tasksession-operator"
    assert finding.problem.startswith("It does not exist: no operator has ever worked here")
    assert "kubectl get deployments,pods --namespace access" in finding.advice


@pytest.mark.parametrize(
    ("renewed", "holder", "words"),
    [
        ("2026-11-03T11:59:00Z", "op-0", "op-0 renewed it last at 2026-11-03T11:59:00Z"),
        ("2026-11-03T11:59:00Z", "", "the last one has given it up"),
        ("2026-11-03T13:00:00Z", "op-0", "the API server's time is 2026-11-03T12:00:00Z"),
        ("soon", "op-0", "it says nothing of when it was renewed"),
    ],
)
def test_a_lease_that_nobody_renews_is_a_failure(renewed: str, holder: str, words: str) -> None:
    """Older than three of its durations, given up, ahead of the API server's clock or without a time: nobody works."""
    finding = only(report(lease=seen_lease(lease(renewed, holder))))
    assert finding.severity is Severity.FAILURE
    assert finding.problem.startswith("No operator works: ") and words in finding.problem
    assert "nothing is granted" in finding.problem


@pytest.mark.parametrize("renewed", ["2026-11-03T11:59:20Z", "2026-11-03T12:00:00.900000Z"])
def test_a_renewed_lease_is_fine(renewed: str) -> None:
    """While a standby takes over, and within the clock's own second, nothing is said."""
    assert report(lease=seen_lease(lease(renewed))).findings == ()


def test_a_lease_that_may_not_be_read_is_no_pass() -> None:
    """It is reported as not checked, with the API server's words."""
    finding = only(report(lease=Unread("leases is forbidden.")))
    assert (finding.severity, finding.subject) == (Severity.UNCHECKED, "The operator's Lease")
    assert "leases is forbidden" in finding.problem
