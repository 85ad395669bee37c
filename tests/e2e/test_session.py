"""One session on a real node: what its pod may do, and what is left of its token afterwards."""

from pathlib import Path

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.e2e.conftest import pod
from tests.e2e.node_token import session_api, status_of
from tests.support.world import World

pytestmark = pytest.mark.node

SCRIPT = """
kubectl auth whoami -o jsonpath='{.status.userInfo.username}{"\\n"}'
try() { if "$@" >/dev/null 2>&1; then echo "allowed: $*"; else echo "refused: $*"; fi; }
try kubectl get configmaps
try kubectl get secrets
try kubectl create configmap other
try kubectl auth whoami
"""


def log_of(world: World, job: str) -> str:
    """Read the log of a Job's pod."""
    name = world.pod_of(job)["metadata"]["name"]
    return str(world.admin.request("GET", world.path("Pod", name) + "/log").get("text", ""))


def test_a_pod_is_allowed_what_was_asked_and_nothing_else(world: World, operator: OperatorProcess) -> None:
    """The pod's identity is ts-<job uid>-<deadline>; its token does what was asked; the Job completes by itself."""
    world.request("triage", task={"jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod(SCRIPT)}}}})
    status = world.wait_state("triage", "Active", "Completed")
    uid = world.admin.get(world.path("Job", "triage"))["metadata"]["uid"]
    deadline = status["serviceAccountName"].rpartition("-")[2]
    assert status["serviceAccountName"] == f"ts-{uid}-{deadline}"
    world.wait_state("triage", "Completed", timeout=60)
    log = log_of(world, "triage")
    assert f"system:serviceaccount:{world.namespace}:{status['serviceAccountName']}" in log
    assert "allowed: kubectl get configmaps" in log
    assert "refused: kubectl get secrets" in log
    assert "refused: kubectl create configmap other" in log
    world.wait_nothing_left()


def test_the_token_is_refused_after_the_deadline(world: World, operator: OperatorProcess) -> None:
    """The ttl lapses while the Job runs: its token is refused, the Job is Failed, DeadlineExceeded, the pod gone."""
    world.request("triage", ttl="12s")
    session = session_api(world, "triage")
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
    assert status_of(session, path) == 200
    world.wait_state("triage", "Expired", timeout=30)
    assert status_of(session, path) in (401, 403)
    world.wait_nothing_left()
    wait_for(
        lambda: [c for c in world.admin.get(world.path("Job", "triage"))["status"].get("conditions", [])
                 if c["type"] == "Failed" and c["reason"] == "DeadlineExceeded"],
        timeout=30, what="the Job to fail with DeadlineExceeded",
    )  # fmt: skip
    wait_for(lambda: not world.admin.list(world.path("Pod")), timeout=30, what="the pod to be gone")


def test_revoking_refuses_the_token_and_stops_the_pod(world: World, operator: OperatorProcess) -> None:
    """Revoked: the token is refused at once, and the pod is stopped."""
    world.request("triage")
    session = session_api(world, "triage")
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
    assert status_of(session, path) == 200
    world.revoke("triage")
    wait_for(lambda: status_of(session, path) != 200, timeout=5, what="the token to be refused", interval=0.01)
    world.wait_state("triage", "Revoked")
    wait_for(lambda: not world.admin.list(world.path("Pod")), timeout=30, what="the pod to be gone")


def test_a_denied_session_creates_nothing(world: World, operator: OperatorProcess) -> None:
    """Policy says no: no Job, no identity, no pod, only the reason."""
    world.request("triage", ttl="2h")
    world.wait_state("triage", "Denied")
    assert world.all_children() == {}
    assert not world.exists("Job", "triage")
    assert world.admin.list(world.path("Pod")) == []


def test_the_identity_dies_with_the_session(world: World, operator: OperatorProcess) -> None:
    """Ten seconds after the ServiceAccount is gone, the API server does not even know the token any more: 401."""
    world.request("triage")
    session = session_api(world, "triage")
    world.jane.delete(world.path("Job", "triage"))
    world.wait_nothing_left()
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
    wait_for(lambda: status_of(session, path) == 401, timeout=20, what="the token to be unknown", interval=0.2)


def test_with_the_operator_dead_the_deadline_ends_token_and_pod(world: World, tmp_path: Path) -> None:
    """SIGKILL while a session is active: at the deadline its rights, its identity and its pod are gone all the same."""
    process = world.operator(tmp_path)
    with process:
        world.request("triage", ttl="12s")
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        session = session_api(world, "triage")
        process.kill()
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
    assert status_of(session, path) == 200
    world.wait_refused(name, timeout=30)
    assert status_of(session, path) in (401, 403)
    world.wait_nothing_left()
    wait_for(lambda: not world.admin.list(world.path("Pod")), timeout=30, what="the pod to be gone")


def test_with_the_operator_dead_a_namespaces_deletion_ends_writes_at_once(world: World, tmp_path: Path) -> None:
    """The namespace begins to be deleted: a session's writes are refused at once, its reads once the pods are gone."""
    process = world.operator(tmp_path)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"], "resourceNames": ["triage"]}]
    world.admin.create(f"/api/v1/namespaces/{world.namespace}/configmaps", {"metadata": {"name": "triage"}})
    with process:
        world.request("triage", access={"rules": rules})
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        session = session_api(world, "triage")
        process.kill()
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/triage"

    def writes() -> bool:
        return world.refusal_of(lambda: session.patch(path, {"data": {"a": "b"}})) is None

    assert writes()
    world.admin.delete(f"/api/v1/namespaces/{world.namespace}")
    wait_for(lambda: not writes(), timeout=1, what="writes to be refused", interval=0.01)
    wait_for(lambda: status_of(session, path) != 200, timeout=30, what="reads to be refused")
    wait_for(lambda: not world.has_rights(name), timeout=5, what="the rights to be gone")
