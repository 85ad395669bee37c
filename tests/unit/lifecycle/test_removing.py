"""What is left of a session that is gone, deleted or finished is cleared away; nothing is ever written to it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import Progress
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


def gone_ways(session: TaskSession) -> list[tuple[TaskSession, dict[str, Any]]]:
    """A session that no longer exists, and one that is held while it is being deleted."""
    return [(session, {"removed": True}), (make.with_metadata(session, deletion_timestamp=make.NOW), {})]


@pytest.mark.parametrize(("session", "facts"), gone_ways(make.active()))
def test_a_granted_session_that_is_deleted_loses_its_rights(session: TaskSession, facts: dict[str, Any]) -> None:
    """Its status names what there is: RoleBindings, then the timer, without a look-up and without a status."""
    progress = Progress()
    for expected, achieved in ((BINDING, {"role_bindings_gone": True}), (TIMER, {"timer_gone": True})):
        assert decide(session, make.observed(progress=progress, **facts), make.NOW).actions == (expected,)
        progress = replace(progress, **achieved)  # type: ignore[arg-type]
    assert decide(session, make.observed(progress=progress, **facts), make.NOW).actions == ()


@pytest.mark.parametrize(("session", "facts"), gone_ways(make.session()))
def test_a_session_deleted_in_mid_grant_is_searched_for_leftovers(session: TaskSession, facts: dict[str, Any]) -> None:
    """Its status does not say how far an attempt had come: what exists is listed, and goes, rights first."""
    steps: list[tuple[dict[str, Any], actions.Action]] = [
        ({"found": make.leftovers()}, FIND),
        ({"role_bindings_gone": True}, BINDING),
        ({"timer_gone": True}, TIMER),
    ]
    progress = Progress()
    for achieved, expected in steps:
        decision = decide(session, make.observed(progress=progress, **facts), make.NOW)
        assert decision.actions == (expected,)
        assert decision.urgent == (expected is not TIMER)
        progress = replace(progress, **achieved)
    assert decide(session, make.observed(progress=progress, **facts), make.NOW).actions == ()


@pytest.mark.parametrize(("session", "facts"), [*gone_ways(make.session()), *gone_ways(finished())])
def test_a_session_that_left_nothing_is_only_looked_for(session: TaskSession, facts: dict[str, Any]) -> None:
    """One look, then rest: a deletion of what was never granted, or is long over, writes nothing."""
    assert decide(session, make.observed(**facts), make.NOW + timedelta(hours=1)).actions == (FIND,)
    looked = make.observed(progress=make.nothing_found(), **facts)
    decision = decide(session, looked, make.NOW + timedelta(hours=1))
    assert (decision.actions, decision.needs_review) == ((), False)


def test_a_deleted_session_is_never_granted() -> None:
    """Even a yes does not bring a session that is being deleted to a grant."""
    session = make.with_metadata(make.session(), deletion_timestamp=make.NOW)
    observed = make.observed(review=make.allowed(), job=make.job(), progress=make.nothing_found())
    assert decide(session, observed, make.NOW).actions == ()


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
