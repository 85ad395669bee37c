"""What is read from a Job: its first ending condition, its owner and marks, and nothing that is not there."""

from datetime import timedelta

import pytest

from tasksession.lifecycle.observed import JobOutcome, ObservedJob
from tests.unit import make


def with_conditions(*conditions: tuple[str, str, str]) -> ObservedJob:
    """A Job with conditions of type, status and reason, each a second after the one before."""
    return ObservedJob.from_object(
        {
            "metadata": {"name": "triage", "namespace": make.NAMESPACE, "uid": make.JOB_UID},
            "status": {
                "conditions": [
                    {
                        "type": kind,
                        "status": status,
                        "reason": reason,
                        "lastTransitionTime": make.timestamp(make.NOW + timedelta(seconds=index)),
                    }
                    for index, (kind, status, reason) in enumerate(conditions)
                ]
            },
        }
    )


@pytest.mark.parametrize(
    ("conditions", "outcome", "reason"),
    [
        ([("SuccessCriteriaMet", "True", "CompletionsReached")], JobOutcome.SUCCEEDED, "CompletionsReached"),
        ([("SuccessCriteriaMet", "True", "first"), ("Complete", "True", "second")], JobOutcome.SUCCEEDED, "first"),
        ([("FailureTarget", "True", "first"), ("Failed", "True", "second")], JobOutcome.FAILED, "first"),
        (
            [("Suspended", "False", ""), ("Failed", "True", "BackoffLimitExceeded")],
            JobOutcome.FAILED,
            "BackoffLimitExceeded",
        ),
    ],
)
def test_a_job_is_over_at_its_first_ending_condition(
    conditions: list[tuple[str, str, str]], outcome: JobOutcome, reason: str
) -> None:
    """SuccessCriteriaMet and FailureTarget come before the pods are gone, and count."""
    end = with_conditions(*conditions).end
    assert end is not None
    assert (end.outcome, end.reason) == (outcome, reason)


@pytest.mark.parametrize("conditions", [[], [("Suspended", "True", "")], [("Failed", "False", "")]])
def test_a_job_without_a_true_ending_condition_runs(conditions: list[tuple[str, str, str]]) -> None:
    """Suspension is no end, and neither is a condition that is not True."""
    assert with_conditions(*conditions).end is None


def test_what_is_absent_is_none() -> None:
    """An empty Job is read without a guess and without an error."""
    job = ObservedJob.from_object({})
    assert (job.owner_uid, job.requested_by, job.service_account, job.active_deadline_seconds) == (None,) * 4
    assert (job.suspended, job.being_deleted, job.end) == (False, False, None)


def test_only_the_controller_owner_counts() -> None:
    """An owner reference that does not control the Job does not make it a session's."""
    job = ObservedJob.from_object(
        {"metadata": {"ownerReferences": [{"kind": "TaskSession", "name": "triage", "uid": make.SESSION_UID}]}}
    )
    assert job.owner_uid is None
