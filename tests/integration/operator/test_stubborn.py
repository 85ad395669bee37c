"""What does not go as it should: rights that are held, tombstones that go, namesakes, an operator that stumbles."""

import pytest

from tests.cluster.api import ApiError
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import World

FINALIZER = "example.com/held"


def test_rights_that_a_finalizer_holds_lose_their_identity(world: World, operator: OperatorProcess) -> None:
    """A RoleBinding that cannot go keeps neither the other one, nor the identity; its session ends once it is free."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["triage"]}]
    world.request("triage", access={"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": rules})
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    held = world.path("RoleBinding", f"{name}-0")
    with world.without_guards("reserved-names", "subjects"):
        world.admin.patch(held, {"metadata": {"finalizers": [FINALIZER]}})
    world.set_policy(suspended=True)
    wait_for(lambda: world.children("RoleBinding") == [f"{name}-0"], timeout=10, what="the other RoleBinding to go")
    wait_for(lambda: not world.exists("ServiceAccount", name), timeout=20, what="the identity to go")
    assert world.status("triage")["state"] == "Active"
    assert "finalizers" in operator.log.read_text()
    with world.without_guards("reserved-names", "subjects"):
        world.admin.patch(held, {"metadata": {"finalizers": None}})
    assert world.wait_state("triage", "Revoked")["endReason"] == "PolicyWithdrawn"
    world.wait_nothing_left()


def test_a_tombstone_is_removed_once(world: World, operator: OperatorProcess) -> None:
    """ttlSecondsAfterFinished removes the TaskSession with one request, and its record is logged once."""
    world.request("triage", ttlSecondsAfterFinished=2)
    world.wait_state("triage", "Active")
    world.finish_pod("triage")
    wait_for(lambda: world.admin.find(f"{world.sessions}/triage") is None, timeout=20, what="the tombstone to go")
    wait_for(lambda: ("delete", "tasksessions") in world.writes(), timeout=5, what="the audit log")
    assert world.writes().count(("delete", "tasksessions")) == 1
    assert len(operator.lines("session ended")) == 1


def test_a_name_can_be_used_again_by_another_session(world: World, operator: OperatorProcess) -> None:
    """Deleted and created again under its name, a session gets an identity of its own."""
    world.request("triage")
    first = world.wait_state("triage", "Active")["serviceAccountName"]
    world.jane.delete(f"{world.sessions}/triage")
    wait_for(lambda: world.admin.find(f"{world.sessions}/triage") is None, timeout=10, what="the first to be gone")
    world.request("triage")
    second = world.wait_state("triage", "Active", timeout=40)["serviceAccountName"]
    assert first != second
    assert not world.has_rights(first)
    assert world.has_rights(second)


def test_a_job_of_that_name_that_is_gone_is_no_obstacle(world: World, operator: OperatorProcess) -> None:
    """A foreign Job that was deleted meanwhile is asked for once more before a session is denied for it."""
    job = {"metadata": {"name": "triage"}, "spec": {**world.job_spec(), "suspend": True}}
    world.admin.create(world.path("Job"), job)
    world.admin.delete(world.path("Job", "triage"))
    wait_for(lambda: not world.exists("Job", "triage"), timeout=10, what="the Job to be gone")
    world.request("triage")
    world.wait_state("triage", "Active")


@pytest.mark.parametrize("method", ["status", "spec"])
def test_a_status_or_spec_that_others_write_is_refused(world: World, operator: OperatorProcess, method: str) -> None:
    """Nobody but the operator writes a session's status, and nobody changes what was asked for."""
    world.request("triage")
    status = world.wait_state("triage", "Active")
    with pytest.raises(ApiError):
        if method == "status":
            world.admin.patch(f"{world.sessions}/triage/status", {"status": {"deadline": "2099-01-01T00:00:00Z"}})
        else:
            world.jane.patch(f"{world.sessions}/triage", {"spec": {"ttl": "29m"}})
    assert world.status("triage")["deadline"] == status["deadline"]
