"""Bad input: the object shows in a sentence what is wrong and what to do, nothing is created, the operator goes on."""

from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import World, refusal

ADMIN_ROLE = {"roles": [{"kind": "ClusterRole", "name": "admin"}]}

DENIED: dict[str, tuple[Object, Object, list[str]]] = {
    # name: (policy changes, session changes, words of the message)
    "a ttl above the policy's": ({}, {"ttl": "2h"}, ["2h", "30m"]),
    "a role the policy does not list": ({}, {"access": ADMIN_ROLE}, ["ClusterRole admin", "view"]),
    "a role beyond the ceiling": ({"access": ADMIN_ROLE}, {"access": ADMIN_ROLE}, ["admin", "ceiling"]),
    "a role that does not exist": (
        {"access": {"roles": [{"kind": "Role", "name": "nothing"}]}},
        {"access": {"roles": [{"kind": "Role", "name": "nothing"}]}},
        ["Role nothing", "exist"],
    ),
    "rules the policy does not cover": (
        {},
        {"access": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}},
        ["secrets"],
    ),
    "rules beyond the ceiling": (
        {"access": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}},
        {"access": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}},
        ["secrets"],
    ),
    "nothing asked and no default": ({}, {"access": None}, ["access"]),
    "a suspended policy": ({"suspended": True}, {}, ["suspended"]),
    "another namespace": ({"namespaces": {"names": ["elsewhere"]}}, {}, ["namespace"]),
    "a condition that is not met": (
        {"conditions": [{"name": "ticket", "expression": "session.spec.reason.matches('^OPS-')",
                         "message": "needs a ticket"}]},
        {},
        ["needs a ticket"],
    ),
    "a condition that cannot be decided": (
        {"conditions": [{"name": "typo", "expression": "session.spec.nothing == 'x'"}]},
        {},
        ["typo"],
    ),
    "an end in the past": ({}, {"notAfter": "2020-01-01T00:00:00Z"}, ["2020"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DENIED)
def test_a_denied_session_creates_nothing(world: World, operator: OperatorProcess, case: str) -> None:
    """A session that policy refuses says why, and nothing at all is created for it."""
    policy, session, words = DENIED[case]
    if policy:
        world.set_policy(**policy)
    changes: dict[str, Any] = dict(session)
    manifest = world.manifest("triage", **changes)
    if changes.get("access", 0) is None:
        del manifest["spec"]["access"]
    world.jane.create(world.sessions, manifest)
    world.wait_state("triage", "Denied")
    message = world.ready("triage")["message"]
    assert all(word in message for word in words), message
    assert world.all_children() == {}
    assert not world.exists("Job", "triage")
    assert [write for write in world.writes() if write != ("patch", "tasksessions/status")] == []
    assert operator.alive


def test_all_reasons_are_told_at_once(world: World, operator: OperatorProcess) -> None:
    """A session that is wrong in three ways is told all three."""
    world.request("triage", ttl="2h", access={"roles": [{"kind": "ClusterRole", "name": "admin"}],
                  "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]})  # fmt: skip
    world.wait_state("triage", "Denied")
    message = world.ready("triage")["message"]
    assert all(word in message for word in ("2h", "admin", "secrets")), message


def test_an_unknown_policy_is_waited_for(world: World, operator: OperatorProcess) -> None:
    """A session may come before its policy, as Git applies them in any order; it says what it waits for."""
    other = f"{world.policy}-late"
    world.policy = other
    world.let_use()
    world.request("triage")
    message = world.wait_reason("triage", "PolicyNotFound")
    assert other in message
    assert world.all_children() == {}
    world.set_policy()
    world.wait_state("triage", "Active")


def test_a_requester_without_use_is_refused_at_once(world: World, operator: OperatorProcess) -> None:
    """Who may not use the policy is told so by kubectl, and no object comes to be."""
    world.take_use()
    wait_for(
        lambda: refusal(lambda: world.request("triage")), timeout=5, what="the refusal", ignoring=(AssertionError,)
    )
    error = refusal(lambda: world.request("triage"))
    assert error.status == 403
    assert "jane" in error.message
    assert world.policy in error.message


def test_a_job_that_cannot_be_created_is_shown(world: World, operator: OperatorProcess) -> None:
    """A jobTemplate that is no Job ends in InvalidJob, with the API server's own words."""
    world.request("triage", task={"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}})
    world.wait_state("triage", "Denied")
    ready = world.ready("triage")
    assert ready["reason"] == "InvalidJob"
    assert "containers" in ready["message"]
    assert world.all_children() == {}


def test_a_job_of_that_name_is_not_taken_over(world: World, operator: OperatorProcess) -> None:
    """A Job that somebody else made under the session's name is neither used nor touched."""
    world.admin.create(world.path("Job"), {"metadata": {"name": "triage"}, "spec": {**world.job_spec(),
                       "suspend": True}})  # fmt: skip
    world.request("triage")
    world.wait_state("triage", "Denied")
    assert world.ready("triage")["reason"] == "JobNotOurs"
    assert world.all_children() == {}


def test_a_quota_is_waited_for(world: World, operator: OperatorProcess) -> None:
    """A full ResourceQuota makes a session wait and say so, and room makes it go on."""
    quota = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    world.admin.create(quota, {"metadata": {"name": "full"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
    wait_for(
        lambda: world.admin.get(f"{quota}/full").get("status", {}).get("hard"), timeout=15, what="the quota to count"
    )
    world.request("triage")
    assert "full" in world.wait_reason("triage", "QuotaExceeded")
    world.admin.delete(f"{quota}/full")
    world.wait_state("triage", "Active", timeout=30)


def test_half_a_grant_gives_nothing(world: World, operator: OperatorProcess) -> None:
    """With room for one RoleBinding of two the session waits without rights; with room for both it is granted."""
    there = len(world.admin.list(world.path("RoleBinding")))
    count = "count/rolebindings.rbac.authorization.k8s.io"
    quota = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    world.admin.create(quota, {"metadata": {"name": "tight"}, "spec": {"hard": {count: str(there + 1)}}})
    wait_for(
        lambda: world.admin.get(f"{quota}/tight").get("status", {}).get("used", {}).get(count) == str(there),
        timeout=15,
        what="the quota to count",
    )
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    both = {"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": rules}
    world.set_policy(access=both)
    world.request("triage", access=both)
    assert "RoleBinding" in world.wait_reason("triage", "QuotaExceeded")
    wait_for(lambda: not world.children("RoleBinding"), timeout=10, what="the rights of half a grant to be gone")
    world.admin.patch(f"{quota}/tight", {"spec": {"hard": {count: str(there + 2)}}})
    granted = world.wait_state("triage", "Active", timeout=45)
    assert len(granted["grants"]) == len(world.children("RoleBinding")) == 2


def test_a_limit_is_waited_for(world: World, operator: OperatorProcess) -> None:
    """One session more than the policy's limit waits until another ends."""
    world.set_policy(limits={"active": 1})
    world.request("first")
    world.wait_state("first", "Active")
    world.request("second")
    world.wait_reason("second", "LimitReached")
    world.finish_pod("first")
    world.wait_state("second", "Active")


def test_a_limit_holds_among_sessions_that_start_together(world: World, operator: OperatorProcess) -> None:
    """Ten sessions at once under a limit of three: never more than three are active."""
    world.set_policy(limits={"active": 3})
    for number in range(10):
        world.request(f"s{number}")
    reasons: list[str] = []

    def settled() -> bool:
        reasons[:] = [world.ready(f"s{number}")["reason"] for number in range(10)]
        assert reasons.count("Granted") <= 3
        return reasons.count("Granted") + reasons.count("LimitReached") == 10

    wait_for(settled, timeout=20, what="all to be granted or to wait for the limit")
    assert reasons.count("Granted") == 3
    assert len(world.children("RoleBinding")) == 3


def test_approval_is_waited_for_and_nothing_is_granted(world: World, operator: OperatorProcess) -> None:
    """A policy that asks for approvers grants nothing while there are none."""
    world.set_policy(approval={"required": 1})
    world.request("triage")
    world.wait_state("triage", "AwaitingApproval")
    assert world.all_children() == {}


def test_events_tell_the_story(world: World, operator: OperatorProcess) -> None:
    """kubectl describe shows a denial as a Warning with the same words."""
    world.request("triage", ttl="2h")
    world.wait_state("triage", "Denied")

    def warnings() -> list[str]:
        return [event["message"] for event in world.admin.list(world.path("Event"))
                if event["involvedObject"]["name"] == "triage" and event["type"] == "Warning"]  # fmt: skip

    assert "2h" in wait_for(warnings, timeout=5, what="the Event")[0]
