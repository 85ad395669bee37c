"""The re-check of a live session: what ends it, what does not, and for which reason."""

from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.conditions import Reason
from tasksession.api.session import Grant, TaskSession
from tasksession.policy.evaluation import (
    Ceiling,
    NamespaceFact,
    RoleFact,
    recheck,
    recheck_basis,
    roles_to_look_up,
    rules_hash,
)
from tests.unit import make
from tests.unit.policy.test_evaluation import BIND_VIEW, PODS, SECRETS, facts, inline

INLINE = {"access": {"roles": [{"kind": "ClusterRole", "name": "view"}], **inline(PODS)}}


def live(*, inline_rules: bool = False, **spec: Any) -> TaskSession:
    """A session that was granted `view` as it stands in `facts()`, and the rule on pods if asked."""
    session = make.active(**spec)
    (grant,) = session.status.grants
    grants = [grant.model_copy(update={"rules_hash": rules_hash([PODS])})]
    if inline_rules:
        grants.append(Grant(role=None, role_binding="name", rules_hash=rules_hash([PODS])))
    return session.model_copy(update={"status": session.status.model_copy(update={"grants": tuple(grants)})})


@pytest.mark.parametrize(
    ("policy", "changed"),
    [
        ({}, {}),
        ({"maxTTL": "10s"}, {}),
        ({"limits": {"active": 1, "activePerRequester": 1}}, {"active": 9, "active_per_requester": 9}),
        ({"conditions": [{"name": "c", "expression": "false"}]}, {}),
        ({"approval": {"required": 2}}, {}),
        ({}, {"now": make.NOW + timedelta(days=2)}),
        ({"access": {"roles": [{"kind": "ClusterRole", "name": n} for n in ("edit", "view")]}}, {}),
    ],
)
def test_what_counts_at_the_grant_only_ends_nothing(policy: dict[str, Any], changed: dict[str, Any]) -> None:
    """Conditions, limits, approvals and maxTTL of a live session's policy may change; time is the deadline's matter."""
    found = recheck(session=live(), policy=make.policy(**policy), facts=facts(**changed))
    assert found.reason is None


@pytest.mark.parametrize(
    ("policy", "changed", "reason", "words"),
    [
        ({"suspended": True}, {}, Reason.POLICY_WITHDRAWN, "is suspended"),
        ({"namespaces": {"names": ["other"]}}, {}, Reason.POLICY_WITHDRAWN, "not for namespace support"),
        ({}, {"namespace": NamespaceFact("support", None)}, Reason.POLICY_WITHDRAWN, "not for namespace support"),
        ({}, {"excluded_namespaces": frozenset({"support"})}, Reason.POLICY_WITHDRAWN, "excluded"),
        ({}, {"may_use": False}, Reason.USE_LOST, "jane may not use"),
        ({"access": {"roles": [{"kind": "ClusterRole", "name": "edit"}]}}, {}, Reason.POLICY_NARROWED, "not among"),
        ({"tasks": ["External"]}, {}, Reason.POLICY_NARROWED, "of the kind Job"),
        ({}, {"ceiling": Ceiling()}, Reason.POLICY_NARROWED, "beyond the operator's ceiling"),
        ({}, {"own_rules": ()}, Reason.POLICY_NARROWED, "beyond what the operator itself may bind"),
        (
            {},
            {"roles": {make.VIEW: RoleFact((PODS, SECRETS))}},
            Reason.ROLE_CHANGED,
            "rules of ClusterRole view changed",
        ),
        ({}, {"roles": {make.VIEW: RoleFact(())}}, Reason.ROLE_CHANGED, "rules of ClusterRole view changed"),
        ({}, {"roles": {make.VIEW: RoleFact(None)}}, Reason.ROLE_CHANGED, "ClusterRole view was deleted"),
        ({"suspended": True}, {"may_use": False}, Reason.POLICY_WITHDRAWN, "is suspended"),
    ],
)
def test_each_explicit_no_ends_the_session_for_its_reason(
    policy: dict[str, Any], changed: dict[str, Any], reason: Reason, words: str
) -> None:
    """Withdrawn, narrowed, use lost or role changed; the first of these that applies is told."""
    found = recheck(session=live(), policy=make.policy(**policy), facts=facts(**changed))
    assert found.reason is reason
    assert words in found.message


def test_a_suspended_policy_ends_its_sessions_without_any_answer() -> None:
    """What cannot be looked up keeps no session alive that its policy's owner has stopped."""
    found = recheck(session=live(), policy=make.policy(suspended=True), facts=None)
    assert found.reason is Reason.POLICY_WITHDRAWN
    assert "is suspended" in found.message


def test_a_policy_that_is_gone_ends_its_sessions() -> None:
    """Without a policy there is no session, whatever else could be looked up."""
    found = recheck(session=live(), policy=None, facts=None)
    assert found.reason is Reason.POLICY_WITHDRAWN
    assert "ticket-triage does not exist any more" in found.message


def test_a_look_up_that_is_missing_ends_nothing() -> None:
    """It raises: no answer is neither a yes nor a no."""
    with pytest.raises(LookupError):
        recheck(session=live(), policy=make.policy(), facts=None)
    with pytest.raises(LookupError):
        recheck(session=live(), policy=make.policy(), facts=facts(roles={}))


def test_inline_rules_are_held_against_policy_and_ceiling_again() -> None:
    """Rules that the policy or the operator no longer covers end the session."""
    session = live(inline_rules=True, **INLINE)
    assert recheck(session=session, policy=make.policy(**INLINE), facts=facts()).reason is None
    assert recheck(session=session, policy=make.policy(), facts=facts()).reason is Reason.POLICY_NARROWED
    found = recheck(session=session, policy=make.policy(**INLINE), facts=facts(own_rules=(BIND_VIEW,)))
    assert found.reason is Reason.POLICY_NARROWED
    assert "does not hold get, list on pods" in found.message
    narrowed = Ceiling(cluster_roles=frozenset({"view"}))
    found = recheck(session=session, policy=make.policy(**INLINE), facts=facts(ceiling=narrowed))
    assert found.reason is Reason.POLICY_NARROWED
    assert "ceiling does not have get, list on pods" in found.message


def test_rules_that_came_from_the_policys_defaults_end_when_the_defaults_change() -> None:
    """Only their hash is known then: that they are still allowed cannot be shown."""
    session = live(inline_rules=True, access=None)
    same = make.policy(**INLINE, defaults=INLINE)
    other = make.policy(access={**INLINE["access"], **inline(PODS, SECRETS)}, defaults={"access": inline(SECRETS)})
    assert recheck(session=session, policy=same, facts=facts()).reason is None
    found = recheck(session=session, policy=other, facts=facts())
    assert found.reason is Reason.POLICY_NARROWED
    assert "defaults.access" in found.message


def test_what_was_granted_counts_not_what_the_defaults_would_give_today() -> None:
    """Roles of a live session come from its grants, and are looked up there."""
    session = live(access=None)
    policy = make.policy(defaults={"access": {"roles": [{"kind": "ClusterRole", "name": "view"}]}})
    assert roles_to_look_up(session, make.policy()) == (make.VIEW,)
    assert recheck(session=session, policy=make.policy(), facts=facts()).reason is None
    assert recheck(session=session, policy=policy, facts=facts()).reason is None


def test_sessions_that_a_recheck_cannot_tell_apart_have_one_basis() -> None:
    """Name, uid, time, reason, the Job's content and the names of what was made for it do not count."""
    one = live()
    other = live(name="another", uid="another-uid", ttl="5m", reason="CHG-2", task=make.task(backoffLimit=3))
    (grant,) = other.status.grants
    grants = (grant.model_copy(update={"role_binding": "another"}),)
    other = other.model_copy(update={"status": other.status.model_copy(update={"grants": grants})})
    assert recheck_basis(one) == recheck_basis(other)
    assert len({recheck_basis(one), recheck_basis(other)}) == 1


@pytest.mark.parametrize(
    "spec",
    [
        {"policy": "another"},
        {"requester": {"username": "joe"}},
        {"requester": {"username": "jane", "groups": ["admins"]}},
        {"requester": {"username": "jane", "uid": "another", "groups": ["system:authenticated"]}},
        {"access": None},
        {"access": {"roles": [{"kind": "Role", "name": "view"}]}},
        {"token": {"audiences": ["https://tickets.example.com"]}},
        {"task": {"external": {}}},
        {"task": {"job": {"name": "triage"}}},
    ],
)
def test_what_a_recheck_looks_at_is_in_the_basis(spec: dict[str, Any]) -> None:
    """Sessions that could get another answer are never taken for alike."""
    assert recheck_basis(live()) != recheck_basis(live(**spec))


def test_what_was_granted_and_where_is_in_the_basis() -> None:
    """Another role, another hash, one grant more, another namespace: not alike."""
    session = live()
    (grant,) = session.status.grants
    changed = grant.model_copy(update={"rules_hash": "another"})
    for grants in ((changed,), (grant, changed), ()):
        other = session.model_copy(update={"status": session.status.model_copy(update={"grants": grants})})
        assert recheck_basis(other) != recheck_basis(session)
    assert recheck_basis(make.with_metadata(session, namespace="another")) != recheck_basis(session)
