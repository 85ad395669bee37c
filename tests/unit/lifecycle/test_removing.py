"""What is left of a session that is gone, deleted or finished is cleared away; nothing is ever written to it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import Progress, Review
from tasksession.lifecycle.plan import is_tracked
from tests.unit import make
from tests.unit.lifecycle.consistency import decide

FIND = actions.FindChildren(namespace=make.NAMESPACE, session_uid=make.SESSION_UID)
BINDING = actions.DeleteRoleBinding(namespace=make.NAMESPACE, name=f"{make.identity()}-0")
TIMER = actions.DeleteTimer(namespace=make.NAMESPACE, name=make.identity(), uid="timer-uid")


def finished(**spec: Any) -> TaskSession:
    """A session that completed a minute after its grant."""
    session = make.active(**spec)
    observed = make.observed(
        job=make.job(released_as=make.identity(), condition=("Complete", "", make.NOW)),
        progress=Progress(role_bindings_gone=True, timer_gone=True),
    )
    [write] = decide(session, observed, make.NOW + timedelta(minutes=1)).actions
    assert isinstance(write, actions.WriteStatus)
    return make.with_status(session, write.status)


def held(session: TaskSession) -> TaskSession:
    """A session that is being deleted, and that a finalizer or a dependent keeps from going."""
    return make.with_metadata(session, deletion_timestamp=make.NOW)


def test_a_granted_session_that_is_gone_loses_its_rights() -> None:
    """Its status names what there is: RoleBindings, then the timer, without a look-up and without a status."""
    session, facts = make.active(), {"removed": True}
    progress = Progress()
    for expected, achieved in ((BINDING, {"role_bindings_gone": True}), (TIMER, {"timer_gone": True})):
        assert decide(session, make.observed(progress=progress, **facts), make.NOW).actions == (expected,)
        progress = replace(progress, **achieved)  # type: ignore[arg-type]
    assert decide(session, make.observed(progress=progress, **facts), make.NOW).actions == ()


def test_a_granted_session_that_is_held_in_deletion_ends() -> None:
    """However long the object is kept: rights, timer, then the Job is stopped, and the status says why it ended."""
    session, job = held(make.active()), make.job(released_as=make.identity())
    progress = Progress()
    for expected, achieved in ((BINDING, {"role_bindings_gone": True}), (TIMER, {"timer_gone": True})):
        assert decide(session, make.observed(job=job, progress=progress), make.NOW).actions == (expected,)
        progress = replace(progress, **achieved)  # type: ignore[arg-type]
    stop, write = decide(session, make.observed(job=job, progress=progress), make.NOW).actions
    assert isinstance(stop, actions.StopJob)
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.REVOKED, Reason.SESSION_DELETED)
    assert write.announcement is not None
    ended = make.with_status(session, write.status)
    assert decide(ended, make.observed(job=job), make.NOW).actions == ()


def test_a_deletion_is_not_the_reason_where_the_job_had_ended() -> None:
    """The first end counts: a Job that completed has completed, though its session is being deleted since."""
    done = make.job(released_as=make.identity(), condition=("Complete", "", make.NOW))
    progress = Progress(role_bindings_gone=True, timer_gone=True)
    [write] = decide(held(make.active()), make.observed(job=done, progress=progress), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert write.status.state is State.COMPLETED


def test_the_end_that_a_deletion_caused_is_not_the_jobs_own() -> None:
    """A Job that was stopped for a session in deletion reads DeadlineExceeded: no reason, and no need of a review."""
    moment = ("Failed", "DeadlineExceeded", make.NOW)
    job = make.job(released_as=make.identity(), condition=moment, active_deadline_seconds=1)
    progress = Progress(role_bindings_gone=True, timer_gone=True)
    [write] = decide(held(make.active()), make.observed(job=job, progress=progress), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert write.status.end_reason == Reason.SESSION_DELETED


@pytest.mark.parametrize("review", [None, make.allowed(), make.held_back(Reason.LIMIT_REACHED, "One of one.")])
def test_a_waiting_session_that_is_held_in_deletion_ends_ungranted(review: Review | None) -> None:
    """It waits for nothing any more: no review, no rights, a final status."""
    [write] = decide(held(make.session()), make.observed(review=review), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.REVOKED, Reason.SESSION_DELETED)


def test_a_session_held_in_deletion_in_mid_grant_is_cleared_before_its_end_is_written() -> None:
    """What an attempt may have made is looked for and goes, rights first; only then the status."""
    session, progress = held(make.session()), make.made()
    steps: list[tuple[dict[str, Any], actions.Action]] = [
        ({"found": make.leftovers()}, FIND),
        ({"role_bindings_gone": True}, BINDING),
        ({"timer_gone": True}, TIMER),
    ]
    for achieved, expected in steps:
        assert decide(session, make.observed(job=make.job(), progress=progress), make.NOW).actions == (expected,)
        progress = replace(progress, **achieved)
    [write] = decide(session, make.observed(job=make.job(), progress=progress), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)


def test_a_tombstone_that_is_held_in_deletion_is_left_alone() -> None:
    """Nothing is left to end, and whoever changes it all day costs not one look-up."""
    session = held(finished(ttlSecondsAfterFinished=0))
    assert decide(session, make.observed(), make.NOW + timedelta(hours=1)).actions == ()


def test_a_session_deleted_in_mid_grant_is_searched_for_leftovers() -> None:
    """Its status does not say how far an attempt had come: what exists is listed, and goes, rights first."""
    steps: list[tuple[dict[str, Any], actions.Action]] = [
        ({"found": make.leftovers()}, FIND),
        ({"role_bindings_gone": True}, BINDING),
        ({"timer_gone": True}, TIMER),
    ]
    session, facts = make.session(), {"removed": True}
    progress = Progress()
    for achieved, expected in steps:
        decision = decide(session, make.observed(progress=progress, **facts), make.NOW)
        assert decision.actions == (expected,)
        assert decision.urgent == (expected is not TIMER)
        progress = replace(progress, **achieved)
    assert decide(session, make.observed(progress=progress, **facts), make.NOW).actions == ()


@pytest.mark.parametrize("session", [make.session(), finished()])
def test_a_session_that_left_nothing_is_only_looked_for(session: TaskSession) -> None:
    """One look, then rest: a deletion of what was never granted, or is long over, writes nothing."""
    facts = {"removed": True}
    assert decide(session, make.observed(**facts), make.NOW + timedelta(hours=1)).actions == (FIND,)
    looked = make.observed(progress=make.nothing_found(), **facts)
    decision = decide(session, looked, make.NOW + timedelta(hours=1))
    assert (decision.actions, decision.needs_review) == ((), False)


def test_a_deleted_session_is_never_granted() -> None:
    """Even a yes does not bring a session that is being deleted to a grant."""
    observed = make.observed(review=make.allowed(), job=make.job(), progress=make.nothing_found())
    [write] = decide(held(make.session()), observed, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert write.status.state is State.REVOKED


def test_a_finished_session_does_nothing() -> None:
    """A tombstone is not asked about, not written, and never looked at again, though all would allow it anew."""
    observed = make.observed(review=make.allowed(), job=make.job())
    decision = decide(finished(), observed, make.NOW + timedelta(days=1))
    assert (decision.actions, decision.needs_review, decision.look_again) == ((), False, None)


def test_a_finished_session_is_cleared_of_what_is_found() -> None:
    """What an interrupted end left, once it has been looked for, goes."""
    observed = make.observed(progress=Progress(found=make.leftovers()))
    assert decide(finished(), observed, make.NOW + timedelta(hours=1)).actions == (BINDING,)


def test_a_tombstone_is_removed_when_its_time_has_come() -> None:
    """ttlSecondsAfterFinished counts from the end; until then the session is looked at at that moment."""
    session = finished(ttlSecondsAfterFinished=60)
    assert session.status.ended_at is not None
    due = session.status.ended_at + timedelta(seconds=60)
    early = decide(session, make.observed(), due - timedelta(seconds=1))
    assert (early.actions, early.look_again) == ((), due)
    [action] = decide(session, make.observed(), due).actions
    assert action == actions.DeleteSession(namespace=make.NAMESPACE, name="triage", uid=make.SESSION_UID)


def test_a_tombstone_is_removed_though_its_children_were_looked_for() -> None:
    """A search that found nothing does not hold a tombstone up."""
    session = finished(ttlSecondsAfterFinished=0)
    [action] = decide(session, make.observed(progress=make.nothing_found()), make.NOW + timedelta(hours=1)).actions
    assert isinstance(action, actions.DeleteSession)


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"argocd.argoproj.io/tracking-id": "app:tasksession.dev/TaskSession:support/triage"}},
        {"labels": {"argocd.argoproj.io/instance": "app"}},
        {"labels": {"app.kubernetes.io/instance": "app"}},
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "app"}},
        {"labels": {"helm.toolkit.fluxcd.io/name": "app"}},
        {"annotations": {"meta.helm.sh/release-name": "app"}},
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
    ],
)
def test_a_tombstone_that_git_would_bring_back_stays(metadata: dict[str, Any]) -> None:
    """What a tool applied it would apply again: such a tombstone is never removed by us."""
    session = make.with_metadata(finished(ttlSecondsAfterFinished=0), **metadata)
    assert is_tracked(session)
    decision = decide(session, make.observed(), make.NOW + timedelta(days=1))
    assert (decision.actions, decision.look_again) == ((), None)


def test_a_denied_session_keeps_its_tombstone_too() -> None:
    """Denied is final as the other ends are: a later yes changes nothing."""
    [write] = decide(make.session(), make.observed(review=make.denied("No.")), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    session = make.with_status(make.session(), write.status)
    assert (session.status.state, session.status.end_reason) == (State.DENIED, Reason.DENIED)
    assert decide(session, make.observed(review=make.allowed()), make.NOW).actions == ()
