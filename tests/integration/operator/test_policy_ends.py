"""What ends a live session before its time: the policy, the right to use it, the roles, the identity."""

from pathlib import Path

import pytest

from tests.cluster.api import Api, ApiError
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import SESSIONS, World


@pytest.fixture
def name(world: World, operator: OperatorProcess) -> str:
    """Return the identity of a live session called triage."""
    world.request("triage")
    return str(world.wait_state("triage", "Active")["serviceAccountName"])


def test_a_suspended_policy_ends_its_sessions(world: World, name: str) -> None:
    """The kill switch of a policy ends what is live under it."""
    world.set_policy(suspended=True)
    assert world.wait_state("triage", "Revoked")["endReason"] == "PolicyWithdrawn"
    world.wait_refused(name)
    world.wait_nothing_left()


def test_a_suspended_policy_takes_all_rights_before_anything_else(world: World, tmp_path: Path) -> None:
    """The kill switch of a policy with many sessions: no session's status is written while another still has rights."""
    sessions = [f"s-{number}" for number in range(40)]
    with world.operator(tmp_path, arguments=("--workers", "6")):
        for session in sessions:
            world.request(session)
        for session in sessions:
            world.wait_state(session, "Active", timeout=60)
        before = len(world.writes())
        world.set_policy(suspended=True)
        for session in sessions:
            world.wait_state(session, "Revoked", timeout=60)
    writes = world.writes()[before:]
    removals = [place for place, write in enumerate(writes) if write == ("delete", "rolebindings")]
    assert len(removals) == len(sessions)
    # Side by side with the last few, a few others may begin. One session after another, it would be about a hundred.
    assert removals[-1] - len(removals) < 20, writes


def test_a_deleted_policy_ends_its_sessions(world: World, name: str) -> None:
    """No policy, no session."""
    world.admin.delete(f"{SESSIONS}/sessionpolicies/{world.policy}")
    assert world.wait_state("triage", "Revoked")["endReason"] == "PolicyWithdrawn"
    world.wait_refused(name)


def test_a_policy_that_no_longer_covers_the_namespace_ends_its_sessions(world: World, name: str) -> None:
    """Moving a policy to other namespaces withdraws it here."""
    world.set_policy(namespaces={"names": ["elsewhere"]})
    assert world.wait_state("triage", "Revoked")["endReason"] == "PolicyWithdrawn"


def test_a_narrowed_policy_ends_its_sessions(world: World, name: str) -> None:
    """A role that the policy no longer lists is taken from live sessions."""
    world.set_policy(access={"roles": [{"kind": "ClusterRole", "name": "edit"}]})
    assert world.wait_state("triage", "Revoked")["endReason"] == "PolicyNarrowed"
    world.wait_refused(name)


def test_a_widened_policy_changes_nothing(world: World, name: str) -> None:
    """A live session goes on, with what it was granted, when its policy allows more or shorter ones."""
    roles = [{"kind": "ClusterRole", "name": each} for each in ("view", "edit")]
    world.set_policy(access={"roles": roles}, maxTTL="1m")
    world.request("other", ttl="1m")
    world.wait_state("other", "Active")
    assert world.status("triage")["state"] == "Active"
    assert world.has_rights(name)


@pytest.fixture
def sweeping(world: World, tmp_path: Path) -> OperatorProcess:
    """Return an operator that looks at everything each second."""
    return world.operator(tmp_path, arguments=["--sweep-interval", "1"])


def test_losing_use_ends_the_session(world: World, sweeping: OperatorProcess) -> None:
    """Who may no longer use the policy loses the live session at the next sweep."""
    with sweeping:
        world.request("triage")
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        world.take_use()
        assert world.wait_state("triage", "Revoked")["endReason"] == "UseLost"
        world.wait_refused(name)


def test_a_changed_role_ends_the_session(world: World, sweeping: OperatorProcess, admin_of: Api) -> None:
    """A role that was widened under a live session is taken from it at the next sweep."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": world.namespace},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    }
    admin_of.apply(role)
    world.set_policy(access={"roles": [{"kind": "Role", "name": "reader"}]})
    with sweeping:
        world.request("triage", access={"roles": [{"kind": "Role", "name": "reader"}]})
        world.wait_state("triage", "Active")
        admin_of.apply({**role, "rules": [{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}]})
        assert world.wait_state("triage", "Revoked")["endReason"] in ("RoleChanged", "PolicyNarrowed")


@pytest.mark.parametrize("kind", ["ServiceAccount", "RoleBinding", "Job"])
def test_a_session_whose_identity_is_removed_ends(world: World, sweeping: OperatorProcess, kind: str) -> None:
    """Whoever deletes the identity, its rights or its timer ends the session; the sweep says so."""
    with sweeping:
        world.request("triage")
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        child = f"{name}-0" if kind == "RoleBinding" else name
        world.admin.delete(world.path(kind, child))
        assert world.wait_state("triage", "Failed")["endReason"] == "IdentityRemoved"
        assert child in world.ready("triage")["message"]
        world.wait_nothing_left()


def test_an_orphaned_rolebinding_is_deleted_by_the_sweep(world: World, sweeping: OperatorProcess) -> None:
    """A RoleBinding that claims to be of a session which does not exist goes at the next sweep."""
    identity = "ts-00000000-0000-0000-0000-000000000001-4000000000"
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": f"{identity}-0",
            "labels": {
                "app.kubernetes.io/managed-by": "tasksession",
                "tasksession.dev/session": "nobody",
                "tasksession.dev/session-uid": "00000000-0000-0000-0000-000000000002",
            },
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": identity, "namespace": world.namespace}],
    }
    with world.without_guards("reserved-names", "reserved-labels", "subjects"):
        # Guards go out of force in their own time.
        wait_for(
            lambda: world.admin.create(world.path("RoleBinding"), binding),
            timeout=10, what="the orphan", ignoring=(ApiError,),
        )  # fmt: skip
    with sweeping:
        wait_for(lambda: not world.children("RoleBinding"), timeout=15, what="the orphan to be deleted")


@pytest.fixture
def admin_of(world: World) -> Api:
    """Return the administrator's client."""
    return world.admin
