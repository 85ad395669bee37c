"""Ending: the first of all reasons ends a live session, rights before all else, and the status says which it was."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import Observed, Progress, Review
from tasksession.lifecycle.plan import plan
from tasksession.policy.evaluation import Recheck
from tests.unit import make
from tests.unit.lifecycle.consistency import Impossible, decide

DEADLINE = make.NOW + timedelta(minutes=10)
LATER = make.NOW + timedelta(minutes=1)
GONE = Progress(role_bindings_gone=True, timer_gone=True)


def running(**changes: Any) -> Any:
    """The released Job of a live session."""
    return make.job(**{"released_as": make.identity(), "active_deadline_seconds": 600, "started": make.NOW, **changes})


def ended_by(kind: str, reason: str = "", moment: datetime = LATER, **changes: Any) -> Any:
    """The released Job with an ending condition."""
    return running(condition=(kind, reason, moment), **changes)


def last_write(session: TaskSession, observed: Observed, now: datetime = LATER) -> actions.WriteStatus:
    """The status that is written once the rights are gone."""
    write = decide(session, replace(observed, progress=GONE), now).actions[-1]
    assert isinstance(write, actions.WriteStatus)
    return write


ENDINGS = {
    "success criteria": (make.observed(job=ended_by("SuccessCriteriaMet")), State.COMPLETED, Reason.COMPLETED),
    "complete": (make.observed(job=ended_by("Complete")), State.COMPLETED, Reason.COMPLETED),
    "failure target": (make.observed(job=ended_by("FailureTarget", "PodFailurePolicy")), State.FAILED, "JobFailed"),
    "failed": (make.observed(job=ended_by("Failed", "BackoffLimitExceeded")), State.FAILED, Reason.JOB_FAILED),
    "own deadline": (make.observed(job=ended_by("Failed", "DeadlineExceeded")), State.FAILED, Reason.JOB_FAILED),
    "session's deadline": (
        make.observed(job=ended_by("Failed", "DeadlineExceeded", DEADLINE)),
        State.EXPIRED,
        Reason.DEADLINE_REACHED,
    ),
    "deadline by the Job controller's clock": (
        make.observed(job=ended_by("FailureTarget", "DeadlineExceeded", DEADLINE - timedelta(seconds=1))),
        State.EXPIRED,
        Reason.DEADLINE_REACHED,
    ),
    "Job deleted": (make.observed(job=None), State.FAILED, Reason.JOB_DELETED),
    "Job being deleted": (make.observed(job=running(deleting=True)), State.FAILED, Reason.JOB_DELETED),
    "Job replaced": (
        make.observed(job=make.job(uid="99999999-bbbb-cccc-dddd-eeeeeeeeeeee")),
        State.FAILED,
        "JobDeleted",
    ),
    "completed Job being deleted": (
        make.observed(job=ended_by("Complete", deleting=True)),
        State.COMPLETED,
        Reason.COMPLETED,
    ),
    "namespace being deleted": (
        make.observed(job=running(), namespace_ends=True),
        State.FAILED,
        Reason.JOB_DELETED,
    ),
    "identity missing": (
        make.observed(job=running(), identity_missing="The timer was deleted by somebody."),
        State.FAILED,
        Reason.IDENTITY_REMOVED,
    ),
    **{
        reason.value: (
            make.observed(job=running(), recheck_due=True, review=make.rechecked(Recheck(reason, "No more."))),
            State.REVOKED,
            reason,
        )
        for reason in (Reason.POLICY_WITHDRAWN, Reason.POLICY_NARROWED, Reason.USE_LOST, Reason.ROLE_CHANGED)
    },
    "policy gone": (
        make.observed(job=running(), review=Review(recheck=Recheck(Reason.POLICY_WITHDRAWN, "It does not exist."))),
        State.REVOKED,
        Reason.POLICY_WITHDRAWN,
    ),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_rights_go_before_anything_else(case: str) -> None:
    """Whatever ends a session: its RoleBindings first, urgently; then the timer; only then the status."""
    observed, _, _ = ENDINGS[case]
    first = decide(make.active(), observed, LATER)
    assert first.urgent
    assert first.actions == (actions.DeleteRoleBinding(namespace=make.NAMESPACE, name=f"{make.identity()}-0"),)
    second = decide(make.active(), replace(observed, progress=Progress(role_bindings_gone=True)), LATER)
    assert second.actions == (actions.DeleteTimer(namespace=make.NAMESPACE, name=make.identity(), uid="timer-uid"),)


@pytest.mark.parametrize("case", ENDINGS)
def test_the_status_says_why_it_ended(case: str) -> None:
    """State, reason and end are written once, with an Event that warns of all ends but a good one."""
    observed, state, reason = ENDINGS[case]
    write = last_write(make.active(), observed)
    assert (write.status.state, write.status.end_reason) == (state, reason)
    assert write.status.ended_at == LATER
    assert write.status.grants == make.active().status.grants
    assert write.announcement is not None
    assert write.announcement.reason == reason
    assert write.announcement.warning == (state is not State.COMPLETED)


@pytest.mark.parametrize("case", ENDINGS)
def test_an_ended_session_is_left_alone(case: str) -> None:
    """After its last status nothing is done for a session, whatever is still seen of it."""
    observed, _, _ = ENDINGS[case]
    session = make.with_status(make.active(), last_write(make.active(), observed).status)
    after = replace(observed, identity_missing=None, review=None, recheck_due=False)
    decision = decide(session, after, DEADLINE)
    assert (decision.actions, decision.look_again) == ((), None)


def test_the_success_of_a_job_counts_before_its_pods_are_gone() -> None:
    """SuccessCriteriaMet comes first, Complete only when all pods have terminated: one condition is enough."""
    assert make.job(condition=("SuccessCriteriaMet", "", LATER)).end is not None


def test_the_deadline_ends_a_session_whose_job_runs_on() -> None:
    """At the deadline, not before, the rights go; the Job's own activeDeadlineSeconds stops its pods."""
    observed = make.observed(job=running())
    assert decide(make.active(), observed, DEADLINE - timedelta(seconds=1)).actions == ()
    assert decide(make.active(), observed, DEADLINE).urgent
    decision = decide(make.active(), replace(observed, progress=GONE), DEADLINE)
    [write] = decision.actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.EXPIRED, Reason.DEADLINE_REACHED)


@pytest.mark.parametrize(
    "job",
    [
        running(started=make.NOW + timedelta(minutes=3)),
        running(active_deadline_seconds=None),
        running(started=None),
    ],
    ids=["taken up late", "without a deadline", "not taken up"],
)
def test_a_job_that_would_outlive_the_deadline_is_stopped(job: Any) -> None:
    """A Job whose own activeDeadlineSeconds ends later than the session, as an author's may, is stopped."""
    stop, write = decide(make.active(), make.observed(job=job, progress=GONE), DEADLINE).actions
    assert isinstance(stop, actions.StopJob)
    assert isinstance(write, actions.WriteStatus)
    assert write.status.state is State.EXPIRED


def test_a_revoked_session_has_its_job_stopped() -> None:
    """Revoked: rights, timer, then the running Job is stopped, and the status says Revoked."""
    session, observed = make.active(revoked=True), make.observed(job=running())
    assert decide(session, observed, LATER).urgent
    stop, write = decide(session, replace(observed, progress=GONE), LATER).actions
    assert stop == actions.StopJob(namespace=make.NAMESPACE, name="triage", uid=make.JOB_UID)
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.REVOKED, Reason.REVOKED)


@pytest.mark.parametrize("case", ["PolicyWithdrawn", "UseLost", "identity missing"])
def test_a_job_whose_rights_were_taken_early_is_stopped_once(case: str) -> None:
    """A Job without rights is not left running to its deadline; one that was stopped is not stopped again."""
    observed, _, _ = ENDINGS[case]
    kinds = [type(action) for action in decide(make.active(), replace(observed, progress=GONE), LATER).actions]
    assert kinds == [actions.StopJob, actions.WriteStatus]
    stopped = replace(observed, progress=replace(GONE, stopped=True))
    assert [type(action) for action in decide(make.active(), stopped, LATER).actions] == [actions.WriteStatus]


@pytest.mark.parametrize("case", ["complete", "failed", "Job deleted", "Job replaced", "Job being deleted"])
def test_a_job_that_is_over_is_not_stopped(case: str) -> None:
    """Nothing is written to a Job that ended or is gone."""
    observed, _, _ = ENDINGS[case]
    assert len(decide(make.active(), replace(observed, progress=GONE), LATER).actions) == 1


@pytest.mark.parametrize(
    ("session", "facts", "reason"),
    [
        (make.active(revoked=True), {}, Reason.REVOKED),
        (make.active(), {"identity_missing": "The timer was deleted by somebody."}, Reason.IDENTITY_REMOVED),
        (
            make.active(),
            {"recheck_due": True, "review": make.rechecked(Recheck(Reason.USE_LOST, "No more."))},
            Reason.USE_LOST,
        ),
    ],
)
def test_the_end_that_we_caused_is_not_taken_for_the_job_s_own(
    session: TaskSession, facts: dict[str, Any], reason: Reason
) -> None:
    """A Job that reads DeadlineExceeded because we stopped it does not change the reason its session ended for."""
    job = ended_by("Failed", "DeadlineExceeded", active_deadline_seconds=1)
    write = last_write(session, make.observed(job=job, **facts))
    assert write.status.end_reason == reason


def test_a_job_that_fails_by_itself_before_it_is_revoked_has_failed() -> None:
    """The first ending counts: a Job that failed of its own is Failed, though revoked is set afterwards."""
    write = last_write(make.active(revoked=True), make.observed(job=ended_by("Failed", "BackoffLimitExceeded")))
    assert (write.status.state, write.status.end_reason) == (State.FAILED, Reason.JOB_FAILED)
    assert "BackoffLimitExceeded" in write.status.conditions[0].message


def test_a_job_that_completed_before_it_is_revoked_has_completed() -> None:
    """The same for success."""
    write = last_write(make.active(revoked=True), make.observed(job=ended_by("Complete")))
    assert write.status.state is State.COMPLETED


def test_a_recheck_asks_first_and_goes_on_where_it_finds_nothing() -> None:
    """A re-check that is due leads to questions; a session that may go on is left alone."""
    due = make.observed(job=running(), recheck_due=True)
    decision = decide(make.active(), due, LATER)
    assert decision.needs_review
    assert decision.look_again == DEADLINE
    assert decide(make.active(), replace(due, review=make.rechecked()), LATER).actions == ()


def test_a_recheck_without_an_answer_ends_nothing() -> None:
    """A look-up that failed is no explicit no: the session lives on."""
    decision = decide(make.active(), make.observed(job=running(), recheck_due=True, review=make.failed_review()), LATER)
    assert decision.actions == ()
    assert decision.look_again == DEADLINE


def test_the_deadline_does_not_wait_for_an_answer() -> None:
    """A session past its deadline, revoked, or without its Job ends though a re-check is due or has failed."""
    for review in (None, make.failed_review()):
        due = make.observed(job=running(), recheck_due=True, review=review)
        assert decide(make.active(), due, DEADLINE).urgent
        assert decide(make.active(revoked=True), due, LATER).urgent
        assert decide(make.active(), replace(due, job=None), LATER).urgent


def test_missing_guards_do_not_end_a_live_session() -> None:
    """Guards count when rights are given; a live session is still held by its deadline and its owners."""
    observed = make.observed(job=running(), guards_missing=("token",))
    assert decide(make.active(), observed, LATER).actions == ()


def test_the_answers_of_a_grant_are_no_recheck() -> None:
    """The review that granted a session goes on to its release without being taken for a no."""
    [action] = decide(make.active(), make.observed(job=make.job(), review=make.allowed()), LATER).actions
    assert isinstance(action, actions.ReleaseJob)


def test_all_role_bindings_go_together() -> None:
    """A session with several grants loses all of them in one urgent step."""
    session = make.active()
    grant = session.status.grants[0]
    second = grant.model_copy(update={"role": None, "role_binding": make.identity()})
    session = make.with_status(session, session.status.model_copy(update={"grants": (grant, second)}))
    decision = decide(session, make.observed(job=None), LATER)
    assert [action.name for action in decision.actions if isinstance(action, actions.DeleteRoleBinding)] == [
        f"{make.identity()}-0",
        make.identity(),
    ]


def test_a_live_session_without_a_deadline_is_ended() -> None:
    """A damaged status ends the session: without a deadline there is no limit to hold."""
    session = make.active()
    damaged = make.with_status(session, session.status.model_copy(update={"deadline": None}))
    observed = make.observed(job=running())
    with pytest.raises(Impossible):
        decide(damaged, observed, LATER)
    assert plan(damaged, observed, LATER).urgent


def test_transition_times_change_only_with_their_status() -> None:
    """At the end Ready and Granted change now, Reconciling keeps the time since when it has been False."""
    write = last_write(make.active(), make.observed(job=ended_by("Failed", "BackoffLimitExceeded")))
    times = {condition.type: condition.last_transition_time for condition in write.status.conditions}
    assert times == {"Ready": LATER, "Stalled": LATER, "Reconciling": make.NOW, "Granted": LATER}
