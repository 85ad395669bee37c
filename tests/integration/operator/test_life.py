"""One session from beginning to end, as its requester sees it."""

import time

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import World


def test_a_session_is_granted_and_its_job_is_released(world: World, operator: OperatorProcess) -> None:
    """Identity, rights and timer appear, the Job is released with them, and the status says so."""
    world.request("triage")
    status = world.wait_state("triage", "Active")
    job = world.admin.get(world.path("Job", "triage"))
    name = status["serviceAccountName"]
    deadline = status["deadline"]
    assert name.startswith(f"ts-{job['metadata']['uid']}-")
    assert name.endswith(str(int(time.mktime(time.strptime(deadline, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone)))
    assert world.all_children() == {"RoleBinding": [f"{name}-0"], "ServiceAccount": [name], "Job": [name]}
    assert world.has_rights(name)
    wait_for(
        lambda: world.admin.get(world.path("Job", "triage"))["spec"]["suspend"] is False,
        timeout=5, what="the Job to be released",
    )  # fmt: skip
    pod = world.pod_of("triage")
    assert pod["spec"]["serviceAccountName"] == name
    assert pod["metadata"]["name"].startswith("tasksession-")


def test_rights_end_when_the_job_completes(world: World, operator: OperatorProcess) -> None:
    """The Job's end takes the rights, then the identity; the tombstone stays and says Completed."""
    world.request("triage")
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    world.finish_pod("triage")
    status = world.wait_state("triage", "Completed")
    assert (status["endReason"], world.ready("triage")["status"]) == ("Completed", "True")
    assert not world.has_rights(name)
    world.wait_nothing_left()
    assert world.exists("Job", "triage")


def test_rights_end_when_the_job_fails(world: World, operator: OperatorProcess) -> None:
    """A failed Job ends its session as Failed, with the Job's own words."""
    world.request("triage")
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    world.finish_pod("triage", "Failed")
    status = world.wait_state("triage", "Failed")
    assert status["endReason"] == "JobFailed"
    assert "BackoffLimitExceeded" in world.ready("triage")["message"]
    world.wait_refused(name)
    world.wait_nothing_left()


def test_a_deleted_job_ends_the_session(world: World, operator: OperatorProcess) -> None:
    """Deleting the Job ends the rights and leaves the session Failed, JobDeleted."""
    world.request("triage")
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    world.jane.delete(world.path("Job", "triage"))
    assert world.wait_state("triage", "Failed")["endReason"] == "JobDeleted"
    world.wait_refused(name)
    world.wait_nothing_left()


def test_a_deleted_session_takes_everything_with_it(world: World, operator: OperatorProcess) -> None:
    """Deleting the TaskSession ends the rights at once and removes its Job."""
    world.request("triage")
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    world.jane.delete(f"{world.sessions}/triage")
    world.wait_refused(name, timeout=2)
    world.wait_nothing_left()
    wait_for(lambda: not world.exists("Job", "triage"), timeout=10, what="the Job to be gone")
    wait_for(lambda: operator.lines("session ended"), timeout=5, what="the record's line")
    assert operator.lines("session ended")[0]["end_reason"] == "SessionDeleted"


def test_the_deadline_ends_the_session(world: World, operator: OperatorProcess) -> None:
    """At the deadline the rights go, the session is Expired, and the Job fails with DeadlineExceeded."""
    world.request("triage", ttl="10s")
    status = world.wait_state("triage", "Active")
    ended = world.wait_state("triage", "Expired", timeout=20)
    assert ended["endReason"] == "DeadlineReached"
    assert ended["deadline"] == status["deadline"]
    world.wait_refused(status["serviceAccountName"])
    world.wait_nothing_left()
    wait_for(
        lambda: [c for c in world.admin.get(world.path("Job", "triage"))["status"].get("conditions", [])
                 if c["type"] == "Failed" and c["reason"] == "DeadlineExceeded"],
        timeout=15, what="the Job to fail with DeadlineExceeded",
    )  # fmt: skip


def test_revoking_stops_the_job(world: World, operator: OperatorProcess) -> None:
    """Setting spec.revoked takes the rights and stops the running Job."""
    world.request("triage")
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    world.pod_of("triage")
    world.revoke("triage")
    assert world.wait_state("triage", "Revoked")["endReason"] == "Revoked"
    world.wait_refused(name)
    world.wait_nothing_left()
    wait_for(
        lambda: any(c["type"] in ("FailureTarget", "Failed") for c in
                    world.admin.get(world.path("Job", "triage"))["status"].get("conditions", [])),
        timeout=15, what="the Job to be stopped",
    )  # fmt: skip


def test_inline_rules_are_granted_and_nothing_more(world: World, operator: OperatorProcess) -> None:
    """Rules asked for inline become a Role of the session; what was not asked stays refused."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get"]}]
    world.request("triage", access={"rules": rules})
    name = world.wait_state("triage", "Active")["serviceAccountName"]
    root = f"/api/v1/namespaces/{world.namespace}/configmaps"
    assert world.allowed(name, f"{root}/triage")
    assert not world.allowed(name, f"{root}/other")
    assert not world.allowed(name, root)
    world.finish_pod("triage")
    world.wait_state("triage", "Completed")
    world.wait_nothing_left()


def test_the_record_is_one_log_line(world: World, operator: OperatorProcess) -> None:
    """The end of a session is logged once, with who, what, when and why, and no token."""
    world.request("triage")
    status = world.wait_state("triage", "Active")
    world.finish_pod("triage")
    world.wait_state("triage", "Completed")
    (line,) = wait_for(lambda: operator.lines("session ended"), timeout=5, what="the record's line")
    assert line["requester"] == "jane"
    assert line["service_account"] == status["serviceAccountName"]
    assert line["grants"][0]["role"] == "ClusterRole/view"
    assert line["end_reason"] == "Completed"
    assert "eyJ" not in operator.log.read_text()


def test_a_life_costs_nine_writes(world: World, operator: OperatorProcess) -> None:
    """A session with one role costs nine writes, counted in the API server's audit log."""
    world.request("triage")
    world.wait_state("triage", "Active")
    world.finish_pod("triage")
    world.wait_state("triage", "Completed")
    world.wait_nothing_left()
    writes = world.writes()
    assert sorted(writes) == sorted(
        [
            ("create", "jobs"), ("create", "jobs"), ("create", "serviceaccounts"), ("create", "rolebindings"),
            ("patch", "tasksessions/status"), ("patch", "jobs"),
            ("delete", "rolebindings"), ("delete", "jobs"), ("patch", "tasksessions/status"),
        ]
    )  # fmt: skip
