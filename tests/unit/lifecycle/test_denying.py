"""Denying: what policy, the ceiling, the API server or another's object says no to is final and leaves nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import Observed, Refusal, RefusalKind, Review
from tests.unit import make
from tests.unit.lifecycle.consistency import decide


def denial(session: TaskSession, observed: Observed) -> actions.WriteStatus:
    """The denial that is written once nothing is found to be left."""
    observed = replace(observed, progress=replace(observed.progress, found=()))
    [action] = decide(session, observed, make.NOW).actions
    assert isinstance(action, actions.WriteStatus)
    assert action.status.state is State.DENIED
    return action


def test_a_denied_session_creates_nothing_and_says_everything() -> None:
    """All reasons are in the message at once, and the one write is the status."""
    observed = make.observed(review=make.denied("The ttl is too long.", "The role edit is not listed."))
    [write] = decide(make.session(), observed, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.DENIED)
    assert write.status.conditions[0].message == "The ttl is too long. The role edit is not listed."
    assert write.status.grants == ()
    assert write.status.service_account_name is None


def test_a_very_long_message_is_cut() -> None:
    """Thousands of reasons make a message that still fits into an object."""
    observed = make.observed(review=make.denied(*("No." for _ in range(5000))))
    message = denial(make.session(), observed).status.conditions[0].message
    assert len(message) == 4096
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("refusal", "reason", "words"),
    [
        (Refusal(RefusalKind.INVALID, "Job", "spec.template: no"), Reason.INVALID_JOB, "mend spec.task.jobTemplate"),
        (Refusal(RefusalKind.INVALID, "timer", "no"), Reason.DENIED, "The timer could not be created"),
        (Refusal(RefusalKind.CEILING, "RoleBinding", "no"), Reason.DENIED, "ceiling"),
        (Refusal(RefusalKind.MISMATCH, "RoleBinding", "is not what"), Reason.DENIED, "is not what"),
    ],
)
def test_a_refused_write_that_cannot_pass_denies(refusal: Refusal, reason: Reason, words: str) -> None:
    """Invalid objects, the ceiling, and an object of another hand under our name are final, with the words given."""
    observed = make.observed(review=make.allowed(), job=make.job(), progress=make.made(bindings=False))
    write = denial(make.session(), replace(observed, refusal=refusal))
    assert write.status.end_reason == reason
    assert words in write.status.conditions[0].message
    assert refusal.message in write.status.conditions[0].message


def test_a_denial_in_the_middle_of_a_grant_takes_all_back_first() -> None:
    """RoleBindings go first, then the timer with all it owns, then the status is written."""
    refusal = Refusal(RefusalKind.CEILING, "RoleBinding", "no")
    observed = make.observed(review=make.allowed(), job=make.job(), refusal=refusal, progress=make.made())
    first = decide(make.session(), observed, make.NOW)
    assert first.actions == (actions.FindChildren(namespace=make.NAMESPACE, session_uid=make.SESSION_UID),)
    progress = replace(observed.progress, found=make.leftovers())
    second = decide(make.session(), replace(observed, progress=progress), make.NOW)
    assert second.urgent
    assert second.actions == (actions.DeleteRoleBinding(namespace=make.NAMESPACE, name=f"{make.identity()}-0"),)
    progress = replace(progress, role_bindings_gone=True)
    third = decide(make.session(), replace(observed, progress=progress), make.NOW)
    assert third.actions == (actions.DeleteTimer(namespace=make.NAMESPACE, name=make.identity(), uid="timer-uid"),)
    progress = replace(progress, timer_gone=True)
    [last] = decide(make.session(), replace(observed, progress=progress), make.NOW).actions
    assert isinstance(last, actions.WriteStatus)


_NOT_STORED = Refusal(RefusalKind.INVALID, "status", "etcdserver: request is too large")


@pytest.mark.parametrize("review", [None, make.allowed(), make.failed_review()])
def test_a_session_whose_status_cannot_be_stored_is_never_granted(review: Review | None) -> None:
    """Nobody could see the grant, nor end it after a restart: the session is over, with the API server's words."""
    write = denial(make.session(), make.observed(review=review, refusal=_NOT_STORED))
    assert write.status.end_reason == Reason.DENIED
    assert "request is too large" in write.status.conditions[0].message


def test_a_grant_whose_status_is_not_stored_is_taken_back() -> None:
    """All was made, and the status that tells of it is refused: rights first, then the timer, then the end."""
    observed = make.observed(review=make.allowed(), job=make.job(), progress=make.made(), refusal=_NOT_STORED)
    [find] = decide(make.session(), observed, make.NOW).actions
    assert isinstance(find, actions.FindChildren)
    progress = replace(observed.progress, found=make.leftovers())
    second = decide(make.session(), replace(observed, progress=progress), make.NOW)
    assert second.urgent
    assert isinstance(second.actions[0], actions.DeleteRoleBinding)


def test_audiences_are_refused_until_there_are_tokens_for_them() -> None:
    """An older definition let them through: the session says that it gets none, before anything is asked."""
    session = make.session(token={"audiences": ["https://tickets.example.com"]})
    write = denial(session, make.observed())
    assert "spec.token.audiences" in write.status.conditions[0].message


def test_only_timers_are_deleted_among_the_jobs_found() -> None:
    """The session's own Job bears the session's labels as well, and is not taken for a timer."""
    found = (replace(make.leftovers()[1], name="triage", uid=make.JOB_UID),)
    observed = make.observed(review=make.denied("No."), job=make.job(), progress=replace(make.made(), found=found))
    [action] = decide(make.session(), observed, make.NOW).actions
    assert isinstance(action, actions.WriteStatus)


@pytest.mark.parametrize(
    "job",
    [
        make.job(owner_uid="99999999-2222-3333-4444-555555555555", owner_name="other"),
        make.job(requested_by="mallory"),
    ],
    ids=["another owner", "made by another hand"],
)
def test_a_job_of_another_hand_is_never_adopted(job: Any) -> None:
    """A Job of the session's name that the operator did not make for it denies the session, and is left alone."""
    write = denial(make.session(), make.observed(review=make.allowed(), job=job))
    assert write.status.end_reason == Reason.JOB_NOT_OURS


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"spec": "x"}, "spec.task.jobTemplate.spec is not an object"),
        ({}, "spec.task.jobTemplate.spec is not an object"),
        ({"metadata": {"annotations": {"tasksession.dev/policy": "p"}}, "spec": {}}, "tasksession.dev/policy"),
        ({"metadata": {"labels": {"tasksession.dev/managed": "no"}}, "spec": {}}, "tasksession.dev/managed"),
        ({"spec": {"activeDeadlineSeconds": 601}}, "the session has 600 seconds left"),
    ],
)
def test_a_template_that_cannot_be_a_session_s_job_is_refused_unmade(template: dict[str, Any], words: str) -> None:
    """What is known to be wrong is said before the API server is asked, and creates nothing."""
    session = make.session(task={"jobTemplate": template})
    write = denial(session, make.observed(review=make.allowed()))
    assert write.status.end_reason == Reason.INVALID_JOB
    assert words in write.status.conditions[0].message


def test_an_authored_deadline_within_the_session_is_no_problem() -> None:
    """activeDeadlineSeconds up to the session's own length is accepted."""
    session = make.session(task=make.task(activeDeadlineSeconds=600))
    [action] = decide(session, make.observed(review=make.allowed()), make.NOW).actions
    assert isinstance(action, actions.CreateJob)


def test_tasks_outside_the_cluster_are_refused_with_a_reason() -> None:
    """A kind of task that is not granted yet is denied in words, never left hanging."""
    write = denial(make.session(task={"external": {}}), make.observed(review=make.allowed()))
    assert write.status.end_reason == Reason.INVALID_JOB
    assert "spec.task.external" in write.status.conditions[0].message


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (make.job(deleting=True), Reason.JOB_DELETED),
        (make.job(condition=("Failed", "DeadlineExceeded", make.NOW)), Reason.JOB_FAILED),
    ],
)
def test_a_job_that_is_over_before_its_grant_fails_the_session(job: Any, reason: Reason) -> None:
    """A Job that was deleted or ended while it was suspended gets no rights any more."""
    observed = make.observed(review=make.allowed(), job=job)
    assert isinstance(decide(make.session(), observed, make.NOW).actions[0], actions.FindChildren)
    [write] = decide(make.session(), replace(observed, progress=make.nothing_found()), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.FAILED, reason)


@pytest.mark.parametrize("made", [False, True])
def test_a_session_revoked_before_its_grant_is_over(made: bool) -> None:
    """Revoked while pending: no question is asked any more, what was made goes, the status says Revoked."""
    session = make.session(revoked=True)
    observed = make.observed(job=make.job() if made else None)
    if made:
        assert isinstance(decide(session, observed, make.NOW).actions[0], actions.FindChildren)
        observed = replace(observed, progress=make.nothing_found())
    [write] = decide(session, observed, make.NOW + timedelta(seconds=1)).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.REVOKED, Reason.REVOKED)
    assert write.status.granted_at is None
