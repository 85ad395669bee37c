"""Waiting for what may still come: shown once, looked at again, denied with its own reason when its time is over."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import Observed, Progress, Refusal, RefusalKind, Review
from tasksession.policy.evaluation import Verdict
from tests.unit import make
from tests.unit.lifecycle.consistency import decide

TEN_MINUTES = timedelta(minutes=10)
PREDECESSOR = "99999999-2222-3333-4444-555555555555"


def refused(kind: RefusalKind, object_kind: str = "ServiceAccount") -> Observed:
    """An attempt whose last write was refused."""
    return make.observed(
        review=make.allowed(), job=make.job(), refusal=Refusal(kind, object_kind, "the API server's own words")
    )


WAITS = {
    Reason.POLICY_NOT_FOUND: make.observed(review=Review()),
    Reason.LIMIT_REACHED: make.observed(review=make.held_back(Reason.LIMIT_REACHED, "Two of two are active.")),
    Reason.AWAITING_APPROVAL: make.observed(review=make.held_back(Reason.AWAITING_APPROVAL, "One approver.")),
    Reason.JOB_NOT_FOUND: make.observed(review=make.allowed(), job=make.job(owner_uid=PREDECESSOR)),
    Reason.QUOTA_EXCEEDED: refused(RefusalKind.QUOTA),
    Reason.GUARDS_MISSING: make.observed(review=make.allowed(), guards_missing=("session-edit", "token")),
    Reason.API_ERROR: make.observed(review=make.failed_review()),
}


def written(session: TaskSession, observed: Observed, *, after: timedelta = timedelta(0)) -> actions.WriteStatus:
    """The one status write of a decision."""
    [action] = decide(session, observed, make.NOW + after).actions
    assert isinstance(action, actions.WriteStatus)
    return action


@pytest.mark.parametrize(
    "reason", [Reason.POLICY_NOT_FOUND, Reason.LIMIT_REACHED, Reason.AWAITING_APPROVAL, Reason.GUARDS_MISSING]
)
def test_what_the_operator_is_told_of_is_looked_at_seldom(reason: Reason) -> None:
    """A second look after two seconds, in case it came meanwhile; from then on one in half a minute."""
    fresh = make.session()
    first = decide(fresh, WAITS[reason], make.NOW)
    assert first.look_again == make.NOW + timedelta(seconds=2)
    waiting = make.with_status(fresh, written(fresh, WAITS[reason]).status)
    later = make.NOW + timedelta(seconds=2)
    assert decide(waiting, WAITS[reason], later).look_again == later + timedelta(seconds=30)


def joined() -> TaskSession:
    """A session that waits for a Job that joins it."""
    fresh = make.session(task={"job": {"name": "work"}})
    return make.with_status(fresh, written(fresh, make.observed(review=make.allowed())).status)


def test_a_session_without_its_job_is_not_reviewed_again() -> None:
    """What policy says matters once the Job is there, or once policy has changed: until then nothing is asked."""
    session = joined()
    later = make.NOW + timedelta(seconds=5)
    decision = decide(session, make.observed(), later)
    assert (decision.actions, decision.needs_review) == ((), False)
    assert decision.look_again == later + timedelta(seconds=30)
    assert decide(session, make.observed(job=make.joining_job()), later).needs_review
    assert decide(session, make.observed(recheck_due=True), later).needs_review


def test_a_session_without_its_job_is_denied_at_its_deadline_unasked() -> None:
    """The wait ends when it would have ended, with the same words."""
    write = written(joined(), make.observed(progress=make.nothing_found()), after=TEN_MINUTES)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.JOB_NOT_FOUND)
    assert "There is no Job work" in write.status.conditions[0].message


def test_nothing_is_asked_while_guards_are_missing() -> None:
    """No answer could lead to a grant."""
    write = written(make.session(), make.observed(guards_missing=("token",)))
    assert {condition.reason for condition in write.status.conditions} == {Reason.GUARDS_MISSING}


@pytest.mark.parametrize("reason", WAITS)
def test_a_wait_is_shown_with_its_reason(reason: Reason) -> None:
    """The object says in its conditions what it waits for, and is looked at again soon."""
    session = make.session()
    write = written(session, WAITS[reason])
    waiting = State.AWAITING_APPROVAL if reason is Reason.AWAITING_APPROVAL else State.PENDING
    assert write.status.state is waiting
    assert {condition.reason for condition in write.status.conditions} == {reason}
    assert write.announcement is not None
    assert write.announcement.warning
    look_again = decide(session, WAITS[reason], make.NOW).look_again
    assert look_again is not None
    assert make.NOW < look_again <= make.NOW + timedelta(seconds=30)


@pytest.mark.parametrize("reason", WAITS)
def test_a_wait_is_written_once(reason: Reason) -> None:
    """Waiting on for the same reason writes nothing, however often it is looked at."""
    session = make.with_status(make.session(), written(make.session(), WAITS[reason]).status)
    for seconds in (1, 10, 100):
        decision = decide(session, WAITS[reason], make.NOW + timedelta(seconds=seconds))
        assert decision.actions == ()
        assert decision.look_again is not None


@pytest.mark.parametrize("reason", WAITS)
def test_a_wait_that_is_over_denies_with_its_reason(reason: Reason) -> None:
    """At its limit the session is denied with what it waited for, after looking for what an attempt has left."""
    session = make.with_status(make.session(), written(make.session(), WAITS[reason]).status)
    limit = timedelta(hours=24) if reason is Reason.AWAITING_APPROVAL else TEN_MINUTES
    observed = replace(WAITS[reason], progress=replace(WAITS[reason].progress, found=()))
    assert decide(session, observed, make.NOW + limit - timedelta(seconds=1)).actions == ()
    write = written(session, observed, after=limit)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, reason)


def test_an_approval_is_waited_for_until_not_after() -> None:
    """notAfter bounds the wait for an approval, in place of 24 hours."""
    session = make.session(notAfter=make.timestamp(make.NOW + timedelta(hours=1)))
    observed = WAITS[Reason.AWAITING_APPROVAL]
    assert written(session, observed, after=timedelta(minutes=59)).status.state is State.AWAITING_APPROVAL
    assert written(session, observed, after=timedelta(hours=1)).status.state is State.DENIED


def test_not_after_bounds_every_wait() -> None:
    """A session waits for its policy no longer than notAfter, where that comes before ten minutes."""
    session = make.session(notAfter=make.timestamp(make.NOW + timedelta(minutes=1)))
    write = written(session, WAITS[Reason.POLICY_NOT_FOUND], after=timedelta(minutes=1))
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.POLICY_NOT_FOUND)


@pytest.mark.parametrize("reason", [Reason.API_ERROR, Reason.GUARDS_MISSING, Reason.POLICY_NOT_FOUND])
def test_a_passing_trouble_does_not_end_a_long_wait(reason: Reason) -> None:
    """A session of an hour waits for a free place; twenty minutes on, one failed look-up does not deny it."""
    policy = make.policy(maxTTL="1h")
    full = make.observed(review=replace(make.held_back(Reason.LIMIT_REACHED, "Full."), policy=policy))
    session = make.session(ttl="1h")
    waiting = make.with_status(session, written(session, full).status)
    assert written(waiting, WAITS[reason], after=timedelta(minutes=20)).status.state is State.PENDING


@pytest.mark.parametrize("reason", [Reason.API_ERROR, Reason.GUARDS_MISSING])
def test_a_passing_trouble_does_not_end_the_wait_for_an_approval(reason: Reason) -> None:
    """Hours into the wait for an approval, trouble that passes is shown and leaves the wait as long as it was."""
    session = make.with_status(make.session(), written(make.session(), WAITS[Reason.AWAITING_APPROVAL]).status)
    for hours in (2, 3):
        write = written(session, WAITS[reason], after=timedelta(hours=hours))
        assert write.status.state is State.AWAITING_APPROVAL
        session = make.with_status(session, write.status)
        assert decide(session, WAITS[reason], make.NOW + timedelta(hours=hours, minutes=30)).actions == ()
        again = written(session, WAITS[Reason.AWAITING_APPROVAL], after=timedelta(hours=hours))
        session = make.with_status(session, again.status)


def test_a_change_of_reason_is_written() -> None:
    """From one wait to another the object says the new reason; the conditions keep their transition times."""
    first = make.with_status(make.session(), written(make.session(), WAITS[Reason.API_ERROR]).status)
    second = written(first, WAITS[Reason.LIMIT_REACHED], after=timedelta(seconds=5)).status
    assert {condition.reason for condition in second.conditions} == {Reason.LIMIT_REACHED}
    assert {condition.last_transition_time for condition in second.conditions} == {make.NOW}


def test_a_wait_ends_in_a_grant_when_what_was_missing_has_come() -> None:
    """A session that waited for its policy is granted once the policy is there."""
    session = make.with_status(make.session(), written(make.session(), WAITS[Reason.POLICY_NOT_FOUND]).status)
    [action] = decide(session, make.observed(review=make.allowed()), make.NOW + timedelta(minutes=1)).actions
    assert isinstance(action, actions.CreateJob)


def test_a_yes_that_comes_after_the_deadline_denies() -> None:
    """Nothing is granted past the deadline; the denial says what the session had waited for."""
    session = make.with_status(make.session(), written(make.session(), WAITS[Reason.LIMIT_REACHED]).status)
    write = written(session, make.observed(review=make.allowed()), after=TEN_MINUTES)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.LIMIT_REACHED)
    assert "Two of two are active." in write.status.conditions[0].message


def test_a_session_that_nobody_looked_at_in_time_says_so() -> None:
    """An operator that was down for the whole ttl denies with DeadlineReached, not with a wait that never was."""
    write = written(make.session(), make.observed(review=make.allowed()), after=TEN_MINUTES)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.DEADLINE_REACHED)
    assert "Waiting for the operator" not in write.status.conditions[0].message


def test_a_verdict_without_a_reason_grants_nothing() -> None:
    """A verdict that neither allows nor says why is no yes: guarded against, although policy never gives one."""

    class Silent(Verdict):
        """A verdict that does not allow."""

        allowed = False

    review = replace(make.allowed(), verdict=Silent(denials=(), waits=(), rules_hashes={}))
    assert written(make.session(), make.observed(review=review)).status.state is State.PENDING


HALFWAY: dict[str, dict[str, Any]] = {
    "a quota": {"refusal": Refusal(RefusalKind.QUOTA, "RoleBinding", "exceeded quota")},
    "a right": {"refusal": Refusal(RefusalKind.FORBIDDEN, "RoleBinding", "forbidden")},
    "guards": {"guards_missing": ("token",), "review": None},
    "stamping": {"stamped_since": None, "review": None},
    "a look-up": {"review": make.failed_review()},
    "the policy": {"review": Review()},
    "a place": {"review": make.held_back(Reason.LIMIT_REACHED, "There is no place.")},
    "the end of the namespace": {"namespace_ends": True},
}


@pytest.mark.parametrize("what", HALFWAY)
@pytest.mark.parametrize("known", ["made by this attempt", "left by another"])
def test_a_session_that_waits_has_no_rights(what: str, known: str) -> None:
    """Whatever it waits for: what a part of a grant has bound is taken back, and the identity stays."""
    progress = make.made() if known == "made by this attempt" else Progress()
    facts = {"job": make.job(), "review": make.allowed(), **HALFWAY[what], "left_rights": known == "left by another"}
    first = decide(make.session(), make.observed(progress=progress, **facts), make.NOW)
    assert first.actions == (actions.FindChildren(make.NAMESPACE, make.SESSION_UID),)
    found = replace(progress, found=make.leftovers())
    second = decide(make.session(), make.observed(progress=found, **facts), make.NOW)
    assert second.actions == (actions.DeleteRoleBinding(make.NAMESPACE, f"{make.identity()}-0"),)
    gone = replace(found, role_bindings_gone=True)
    third = decide(make.session(), make.observed(progress=gone, **facts), make.NOW)
    removals = actions.FindChildren | actions.DeleteRoleBinding | actions.DeleteTimer
    assert not any(isinstance(action, removals) for action in third.actions)
