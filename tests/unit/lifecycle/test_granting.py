"""Granting: verdict, Job, timer, identity, rights, status, release, each only after the one before."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasksession.api import names
from tasksession.api.conditions import Reason, State
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import Observed
from tests.unit import make
from tests.unit.lifecycle.consistency import decide

INLINE = {
    "roles": [{"kind": "ClusterRole", "name": "view"}],
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
}


def kinds(found: tuple[actions.Action, ...]) -> list[str]:
    """The names of actions, in order."""
    return [type(action).__name__ for action in found]


def test_policy_is_asked_before_anything_else() -> None:
    """A fresh session leads to a question and to no write at all."""
    decision = decide(make.session(), make.observed(), make.NOW)
    assert decision.needs_review
    assert decision.actions == ()


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (make.observed(review=make.allowed()), "CreateJob"),
        (make.observed(review=make.allowed(), job=make.job()), "CreateTimer"),
        (
            make.observed(review=make.allowed(), job=make.job(), progress=make.timer_made()),
            "CreateServiceAccount",
        ),
        (
            make.observed(review=make.allowed(), job=make.job(), progress=make.made(bindings=False)),
            "CreateRoleBinding",
        ),
        (make.observed(review=make.allowed(), job=make.job(), progress=make.made()), "WriteStatus"),
    ],
)
def test_each_step_follows_the_one_before(observed: Observed, expected: str) -> None:
    """Job, timer, ServiceAccount, RoleBinding, status: an owner is there before what it owns, rights come last."""
    assert kinds(decide(make.session(), observed, make.NOW).actions) == [expected]


def test_what_was_made_for_another_deadline_is_not_built_upon() -> None:
    """Where the policy's limit changed between two attempts, the identity is another, and has its own timer."""
    made = replace(make.made(), identity=make.identity(make.NOW + timedelta(minutes=5)))
    observed = make.observed(review=make.allowed(), job=make.job(), progress=made)
    assert kinds(decide(make.session(), observed, make.NOW).actions) == ["CreateTimer"]


def test_an_identity_that_was_made_is_not_made_again() -> None:
    """A later attempt goes on behind timer and ServiceAccount, whether they are still there or went with the Job."""
    observed = make.observed(review=make.allowed(), job=make.job(), progress=make.made().for_next_attempt)
    assert kinds(decide(make.session(), observed, make.NOW).actions) == ["CreateRoleBinding"]


def test_what_is_being_removed_is_not_built_upon() -> None:
    """Where a grant's children were looked for to be removed, a grant after all begins with a timer of its own."""
    observed = make.observed(review=make.allowed(), job=make.job(), progress=replace(make.made(), found=()))
    assert kinds(decide(make.session(), observed, make.NOW).actions) == ["CreateTimer"]


def test_a_job_that_is_gone_after_its_timer_was_made_ends_the_session() -> None:
    """What was made for it must never be taken for a Job that is created in its place."""
    progress = replace(make.made().for_next_attempt, found=())
    decision = decide(make.session(), make.observed(review=make.allowed(), progress=progress), make.NOW)
    (write,) = decision.actions
    assert isinstance(write, actions.WriteStatus)
    assert write.status.state is State.FAILED


def test_inline_rules_get_a_role_before_their_role_binding() -> None:
    """A session with inline rules makes its Role, then both RoleBindings."""
    session = make.session(access=INLINE)
    observed = make.observed(
        review=make.allowed(inline=True), job=make.job(), progress=replace(make.made(bindings=False), role_made=False)
    )
    assert kinds(decide(session, observed, make.NOW).actions) == ["CreateRole"]
    observed = replace(observed, progress=replace(observed.progress, role_made=True))
    decision = decide(session, observed, make.NOW)
    assert kinds(decision.actions) == ["CreateRoleBinding", "CreateRoleBinding"]
    made = [action.manifest for action in decision.actions if isinstance(action, actions.CreateRoleBinding)]
    assert [manifest["metadata"]["name"] for manifest in made] == [f"{make.identity()}-0", make.identity()]
    assert [manifest["roleRef"]["name"] for manifest in made] == ["view", make.identity()]


def test_a_role_binding_that_was_made_is_not_made_again() -> None:
    """An attempt goes on where it stopped: only the missing RoleBinding is created."""
    progress = replace(make.made(inline=True), role_bindings_made=frozenset({make.identity()}))
    observed = make.observed(review=make.allowed(inline=True), job=make.job(), progress=progress)
    [action] = decide(make.session(access=INLINE), observed, make.NOW).actions
    assert isinstance(action, actions.CreateRoleBinding)
    assert action.manifest["metadata"]["name"] == f"{make.identity()}-0"


def test_the_status_of_a_grant_says_all_that_an_end_will_need() -> None:
    """Names of all of it, and uids of identity, timer and Job, are in the status before the Job may start."""
    session = make.session(access=INLINE)
    observed = make.observed(review=make.allowed(inline=True), job=make.job(), progress=make.made(inline=True))
    [write] = decide(session, observed, make.NOW + timedelta(seconds=2.5)).actions
    assert isinstance(write, actions.WriteStatus)
    status = write.status
    assert status.state is State.ACTIVE
    assert status.deadline == make.NOW + timedelta(minutes=10)
    assert status.granted_at == make.NOW + timedelta(seconds=2)
    assert status.task == "Job/triage"
    assert status.service_account_name == make.identity()
    assert (status.service_account_uid, status.timer_uid) == ("service-account-uid", "timer-uid")
    assert status.job_ref is not None
    assert status.job_ref.uid == make.JOB_UID
    assert status.policy_ref is not None
    assert (status.policy_ref.uid, status.policy_ref.generation) == ("policy-uid", 3)
    assert [(grant.role, grant.role_binding, grant.rules_hash) for grant in status.grants] == [
        (make.VIEW, f"{make.identity()}-0", "hash-of-view"),
        (None, make.identity(), "hash-of-rules"),
    ]
    assert write.announcement is not None
    assert (write.announcement.warning, write.announcement.reason) == (False, "Granted")


def test_what_was_written_is_the_status_of_a_live_session() -> None:
    """The builder of live sessions, which other tests stand on, has the status that a grant writes."""
    observed = make.observed(review=make.allowed(), job=make.job(), progress=make.made())
    [write] = decide(make.session(), observed, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    expected = make.active().status
    blank = {"conditions": (), "task": None}
    assert write.status.model_copy(update=blank) == expected.model_copy(update=blank)


def test_the_access_of_the_policy_is_granted_where_the_session_names_none() -> None:
    """`defaults.access` counts where the session does not say; its role is bound."""
    review = make.allowed()
    policy = make.policy(defaults={"access": {"roles": [{"kind": "ClusterRole", "name": "view"}]}})
    observed = make.observed(review=replace(review, policy=policy), job=make.job(), progress=make.made(bindings=False))
    [action] = decide(make.session(access=None), observed, make.NOW).actions
    assert isinstance(action, actions.CreateRoleBinding)
    assert action.manifest["roleRef"]["name"] == "view"


def test_a_job_is_released_only_after_the_status_is_written() -> None:
    """A live session whose Job is suspended has it released, with its identity and the time that is left."""
    decision = decide(make.active(), make.observed(job=make.job()), make.NOW + timedelta(seconds=30.2))
    assert decision.actions == (
        actions.ReleaseJob(
            namespace=make.NAMESPACE,
            name="triage",
            uid=make.JOB_UID,
            service_account=make.identity(),
            active_deadline_seconds=570,
        ),
    )


def test_an_authored_deadline_of_the_job_is_kept() -> None:
    """An author's shorter activeDeadlineSeconds stays as it is, so that Git can apply the manifest again."""
    session = make.active(task=make.task(activeDeadlineSeconds=60))
    [action] = decide(session, make.observed(job=make.job(active_deadline_seconds=60)), make.NOW).actions
    assert isinstance(action, actions.ReleaseJob)
    assert action.active_deadline_seconds is None


def test_a_released_job_is_left_alone() -> None:
    """A live session with a running Job writes nothing and looks again at its deadline."""
    decision = decide(make.active(), make.observed(job=make.job(released_as=make.identity())), make.NOW)
    assert decision.actions == ()
    assert decision.look_again == make.NOW + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("spec", "policy", "expected"),
    [
        ({"ttl": "1m30s"}, {}, timedelta(seconds=90)),
        ({"ttl": None}, {"defaults": {"ttl": "5m"}}, timedelta(minutes=5)),
        ({"ttl": None}, {}, timedelta(minutes=30)),
        ({"notAfter": make.timestamp(make.NOW + timedelta(minutes=2))}, {}, timedelta(minutes=2)),
        ({"notAfter": make.timestamp(make.NOW + timedelta(hours=2))}, {}, timedelta(minutes=10)),
    ],
)
def test_the_deadline_counts_from_creation_whenever_it_is_computed(
    spec: dict[str, Any], policy: dict[str, Any], expected: timedelta
) -> None:
    """Own ttl, else the policy's default, else its maxTTL, never beyond notAfter; a late start makes it no later."""
    session = make.session(**spec)
    observed = make.observed(review=replace(make.allowed(), policy=make.policy(**policy)), job=make.job())
    found = set()
    for late in (0, 7, 60):
        [action] = decide(session, observed, make.NOW + timedelta(seconds=late)).actions
        assert isinstance(action, actions.CreateTimer)
        found.add(action.manifest["metadata"]["name"])
        assert action.manifest["spec"]["activeDeadlineSeconds"] == expected.total_seconds() - late
    assert found == {names.Identity(make.JOB_UID, int((make.NOW + expected).timestamp())).name}


def test_nothing_is_made_of_answers_about_a_job_that_is_gone() -> None:
    """A Job deleted in the middle of a grant ends the session: what was made for it is never used for another."""
    observed = make.observed(review=make.allowed(), job=None, progress=make.made())
    decision = decide(make.session(), observed, make.NOW)
    assert kinds(decision.actions) == ["FindChildren"]
    cleared = replace(observed, progress=replace(observed.progress, found=()))
    [write] = decide(make.session(), cleared, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.FAILED, Reason.JOB_DELETED)


@pytest.mark.parametrize("lost", ["job", "guards", "answer"])
def test_a_grant_under_way_stops_where_its_ground_is_lost(lost: str) -> None:
    """Guards that vanish, or an answer that fails, in the middle of a grant: nothing more is created."""
    facts: dict[str, Any] = {"review": make.allowed(), "job": make.job(), "progress": make.made(bindings=False)}
    change: dict[str, dict[str, Any]] = {
        "job": {"job": None},
        "guards": {"guards_missing": ("session-edit",)},
        "answer": {"review": make.failed_review()},
    }
    decision = decide(make.session(), make.observed(**{**facts, **change[lost]}), make.NOW)
    assert not any(kind.startswith("Create") for kind in kinds(decision.actions))


def test_nothing_is_asked_or_granted_in_a_namespace_that_is_being_deleted() -> None:
    """A session that waits there is left to go with its namespace."""
    decision = decide(make.session(), make.observed(review=make.allowed(), namespace_ends=True), make.NOW)
    assert (decision.actions, decision.needs_review) == ((), False)
