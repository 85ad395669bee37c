"""Plain Jobs with one annotation: each gets a session of its own, waits for it, runs in it, and loses it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import World

ACCESS = "roles: [{kind: ClusterRole, name: view}]"


def job(world: World, name: str, **annotations: str) -> Object:
    """Create an annotated Job as Jane; keywords are annotations of ours."""
    asked = {"policy": world.policy, "ttl": "5m", "access": ACCESS, **annotations}
    marks = {f"tasksession.dev/{key}": value for key, value in asked.items() if value}
    body = {"metadata": {"name": name, "annotations": marks}, "spec": world.job_spec()}
    return world.jane.create(world.path("Job"), body)


def wait_session(world: World, name: str, *states: str, timeout: float = 20) -> Object:
    """Wait until the session of a Job exists and is in one of these states."""
    wait_for(lambda: world.admin.find(f"{world.sessions}/{name}"), timeout=timeout, what=f"the session of Job {name}")
    return world.wait_state(name, *states, timeout=timeout)


def events_of(world: World, kind: str, name: str, *reasons: str) -> list[Object]:
    """Wait until an object has Events of these reasons; returns all of its Events of ours."""

    def probe() -> list[Object] | None:
        found = [
            item
            for item in world.admin.list(world.path("Event"))
            if item["involvedObject"]["kind"] == kind
            and item["involvedObject"]["name"] == name
            and item["source"].get("component") == "tasksession-operator"
        ]
        return found if {item["reason"] for item in found} >= set(reasons) else None

    return wait_for(probe, timeout=10, what=f"Events {reasons} on {kind} {name}")


def test_an_annotated_job_runs_in_a_session_of_its_own(world: World, operator: OperatorProcess) -> None:
    """Suspended, granted, released, run as the session, ended with the Job; the chain of owners begins at the Job."""
    made = job(world, "nightly", reason="CHG-7")
    status = wait_session(world, "nightly", "Active")
    session = world.session("nightly")
    owner = session["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Job", made["metadata"]["uid"])
    assert session["spec"]["requester"]["username"] == "jane"
    assert session["spec"]["reason"] == "CHG-7"
    assert made["metadata"]["uid"] in status["serviceAccountName"]
    pod = world.pod_of("nightly")
    assert pod["spec"]["serviceAccountName"] == status["serviceAccountName"]
    assert world.has_rights(status["serviceAccountName"])
    assert events_of(world, "Job", "nightly", "Granted")
    world.finish_pod("nightly")
    world.wait_state("nightly", "Completed")
    world.wait_refused(status["serviceAccountName"])
    world.wait_nothing_left()


def test_the_writes_of_an_annotated_jobs_life_are_counted(world: World, operator: OperatorProcess) -> None:
    """TaskSession, timer, identity, RoleBinding, status, release; two deletions and the last status: nothing else."""
    job(world, "counted")
    wait_session(world, "counted", "Active")
    world.finish_pod("counted")
    world.wait_state("counted", "Completed")
    world.wait_nothing_left()
    wanted = [
        ("create", "tasksessions"), ("create", "jobs"), ("create", "serviceaccounts"), ("create", "rolebindings"),
        ("patch", "tasksessions/status"), ("patch", "jobs"),
        ("delete", "rolebindings"), ("delete", "jobs"), ("patch", "tasksessions/status"),
    ]  # fmt: skip
    assert wait_for(lambda: world.writes() if len(world.writes()) >= 9 else None, timeout=5, what="writes") == wanted


def test_a_denied_job_stays_suspended_and_says_why(world: World, operator: OperatorProcess) -> None:
    """The Event on the Job says what stands against it: `kubectl describe job` is enough."""
    job(world, "greedy", access="roles: [{kind: ClusterRole, name: admin}]")
    wait_session(world, "greedy", "Denied")
    [event] = events_of(world, "Job", "greedy", "Denied")
    assert "ClusterRole admin" in event["message"]
    assert world.admin.get(world.path("Job", "greedy"))["spec"]["suspend"] is True
    assert world.all_children() == {}


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ("roles: [", "is not YAML"),
        ("rules: [{apiGroups: [''], resources: [configmaps], verbs: [get], resourceName: [x]}]", "resourceName"),
        ("roles: [{kind: ClusterRole}]", "name"),
    ],
)
def test_an_access_that_cannot_be_read_is_said(
    world: World, operator: OperatorProcess, access: str, words: str
) -> None:
    """Broken YAML, a misspelt field (which would have widened the rights) and a missing one are InvalidJob."""
    job(world, "broken", access=access)
    wait_session(world, "broken", "Denied")
    assert words in world.ready("broken")["message"]
    assert world.status("broken")["endReason"] == "InvalidJob"
    assert events_of(world, "Job", "broken", "InvalidJob")
    assert world.all_children() == {}


def test_the_policys_defaults_count_without_annotations(world: World, operator: OperatorProcess) -> None:
    """One annotation alone is enough."""
    world.set_policy(defaults={"ttl": "2m", "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]}})
    job(world, "plain", ttl="", access="")
    status = wait_session(world, "plain", "Active")
    assert world.has_rights(status["serviceAccountName"])


def test_a_job_waits_for_its_policy(world: World, operator: OperatorProcess) -> None:
    """Nothing is created before policy says yes; what is waited for is on the Job; then it runs."""
    policy = f"/apis/tasksession.dev/v1alpha1/sessionpolicies/{world.policy}"
    world.admin.delete(policy)
    job(world, "early")
    wait_session(world, "early", "Pending")
    world.wait_reason("early", "PolicyNotFound")
    assert events_of(world, "Job", "early", "PolicyNotFound")
    world.set_policy()
    world.wait_state("early", "Active")


def test_deleting_the_session_stops_the_job_for_good(world: World, operator: OperatorProcess) -> None:
    """A running Job whose TaskSession is deleted loses its rights, is stopped, and is granted nothing again."""
    job(world, "once")
    status = wait_session(world, "once", "Active")
    world.pod_of("once")
    world.jane.delete(f"{world.sessions}/once")
    world.wait_refused(status["serviceAccountName"])
    stopped = wait_for(lambda: _failed(world, "once"), timeout=15, what="the Job to be stopped")
    assert stopped["reason"] == "DeadlineExceeded"
    world.wait_nothing_left()
    assert world.admin.find(f"{world.sessions}/once") is None


def test_a_session_deleted_before_the_start_is_asked_for_anew(world: World, operator: OperatorProcess) -> None:
    """A Job that never started may be asked for again: deleting the denied session is the way to try once more."""
    policy = f"/apis/tasksession.dev/v1alpha1/sessionpolicies/{world.policy}"
    world.admin.patch(policy, {"spec": {"suspended": True}})
    job(world, "again")
    wait_session(world, "again", "Denied")
    first = world.session("again")["metadata"]["uid"]
    world.admin.patch(policy, {"spec": {"suspended": False}})
    world.jane.delete(f"{world.sessions}/again")
    wait_for(
        lambda: (
            (world.admin.find(f"{world.sessions}/again") or {"metadata": {"uid": first}})["metadata"]["uid"] != first
        ),
        timeout=15,
        what="another session",
    )
    world.wait_state("again", "Active")


def test_a_taken_name_is_told_and_never_adopted(world: World, operator: OperatorProcess) -> None:
    """A TaskSession that somebody made under the Job's name keeps the Job waiting until it is deleted."""
    world.request("taken", task={"job": {"name": "elsewhere"}})
    world.wait_reason("taken", "JobNotFound")
    job(world, "taken")
    assert "delete it" in events_of(world, "Job", "taken", "JobNotOurs")[0]["message"]
    world.jane.delete(f"{world.sessions}/taken")
    wait_for(lambda: world.admin.find(f"{world.sessions}/taken"), timeout=15, what="the Job's own session")
    world.wait_state("taken", "Active")


def test_a_deleted_job_takes_its_session_along(world: World, operator: OperatorProcess) -> None:
    """Any link of the chain that goes takes all below it; a Job of the same name starts anew."""
    first = job(world, "gone")
    status = wait_session(world, "gone", "Active")
    world.jane.delete(world.path("Job", "gone"))
    world.wait_refused(status["serviceAccountName"])
    wait_for(lambda: world.admin.find(world.path("Job", "gone")) is None, timeout=15, what="the Job to be gone")
    second = job(world, "gone")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]

    def renewed() -> Any:
        found = world.admin.find(f"{world.sessions}/gone")
        owner = found["metadata"]["ownerReferences"][0]["uid"] if found else None
        return owner == second["metadata"]["uid"]

    wait_for(renewed, timeout=15, what="a session of the second Job")
    again = world.wait_state("gone", "Active")
    assert again["serviceAccountName"] != status["serviceAccountName"]


def test_a_job_that_removes_itself_leaves_nothing(world: World, operator: OperatorProcess) -> None:
    """With ttlSecondsAfterFinished: 0 the Job and its session go at once; the record is in the log."""
    body = {
        "metadata": {"name": "brief", "annotations": {"tasksession.dev/policy": world.policy,
                                                      "tasksession.dev/access": ACCESS}},
        "spec": world.job_spec(ttlSecondsAfterFinished=0),
    }  # fmt: skip
    world.jane.create(world.path("Job"), body)
    wait_session(world, "brief", "Active")
    world.finish_pod("brief")
    world.wait_nothing_left()
    wait_for(lambda: world.admin.find(f"{world.sessions}/brief") is None, timeout=15, what="the session to be gone")

    def recorded() -> bool:
        lines = [json.loads(line) for line in operator.log.read_text().splitlines() if line.startswith("{")]
        return any(line.get("message") == "session ended" and line.get("session") == "brief" for line in lines)

    wait_for(recorded, timeout=10, what="the record")


def _failed(world: World, name: str) -> Object | None:
    conditions = world.admin.get(world.path("Job", name)).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] in ("Failed", "FailureTarget")), None)


# Joined Jobs


def joining(world: World, name: str, session: str, *, by: Any = None) -> Object:
    """Create a Job that joins a session."""
    marks = {"tasksession.dev/session": session}
    body = {"metadata": {"name": name, "annotations": marks}, "spec": world.job_spec()}
    return (by or world.jane).create(world.path("Job"), body)


@pytest.mark.parametrize("first", ["session", "job"])
def test_a_job_joins_a_session_in_either_order(world: World, operator: OperatorProcess, first: str) -> None:
    """Git applies them in any order; the Job runs as the session, and it all ends with the Job."""
    if first == "session":
        world.request("bundle", task={"job": {"name": "work"}})
        world.wait_reason("bundle", "JobNotFound")
        joining(world, "work", "bundle")
    else:
        joining(world, "work", "bundle")
        world.request("bundle", task={"job": {"name": "work"}})
    status = world.wait_state("bundle", "Active")
    assert world.pod_of("work")["spec"]["serviceAccountName"] == status["serviceAccountName"]
    timer = world.admin.get(world.path("Job", status["serviceAccountName"]))
    binding = world.admin.get(world.path("RoleBinding", status["grants"][0]["roleBinding"]))
    assert timer["metadata"]["ownerReferences"][0]["kind"] == "TaskSession"
    assert binding["metadata"]["ownerReferences"][0]["name"] == status["serviceAccountName"]
    world.finish_pod("work")
    world.wait_state("bundle", "Completed")
    world.wait_nothing_left()


def test_only_the_requesters_own_job_joins(world: World, operator: OperatorProcess) -> None:
    """A Job that somebody else created under the name is refused with JobNotOurs, and stays suspended."""
    joining(world, "work", "bundle", by=world.admin)
    world.request("bundle", task={"job": {"name": "work"}})
    status = world.wait_state("bundle", "Denied")
    assert status["endReason"] == "JobNotOurs"
    assert world.admin.get(world.path("Job", "work"))["spec"]["suspend"] is True
    assert world.all_children() == {}
    assert events_of(world, "Job", "work", "JobNotOurs")


def test_a_job_joins_one_session_only(world: World, operator: OperatorProcess) -> None:
    """A second TaskSession under the name, or another for the same Job, is denied once the Job ran."""
    world.request("bundle", task={"job": {"name": "work"}})
    joining(world, "work", "bundle")
    world.wait_state("bundle", "Active")
    world.request("other", task={"job": {"name": "work"}})
    assert world.wait_state("other", "Denied")["endReason"] == "JobNotOurs"
    world.finish_pod("work")
    world.wait_state("bundle", "Completed")
    world.jane.delete(f"{world.sessions}/bundle")
    wait_for(lambda: world.admin.find(f"{world.sessions}/bundle") is None, timeout=10, what="the session to be gone")
    world.request("bundle", task={"job": {"name": "work"}})
    assert world.wait_state("bundle", "Failed", "Denied")["endReason"] in ("JobFailed", "InvalidJob")
    assert world.all_children() == {}


@pytest.mark.parametrize("deleted", ["Job", "TaskSession"])
def test_whichever_half_goes_the_rights_go(world: World, tmp_path: Path, deleted: str) -> None:
    """With the operator dead, deleting the TaskSession takes the rights, and deleting the Job all who could use them.

    After the latter they stay until the deadline, which the tests of a killed operator wait for.
    """
    with world.operator(tmp_path) as process:
        world.request("bundle", task={"job": {"name": "work"}})
        joining(world, "work", "bundle")
        status = world.wait_state("bundle", "Active")
        world.pod_of("work")
        process.kill()
    name = status["serviceAccountName"]
    path = world.path("Job", "work") if deleted == "Job" else f"{world.sessions}/bundle"
    world.jane.delete(path)

    if deleted == "Job":
        # A token is bound to its pod.
        wait_for(lambda: not _living_pods(world), timeout=10, what="the pods to be ended")
    else:
        world.wait_refused(name)
        world.wait_nothing_left()


def test_a_joined_job_that_is_deleted_ends_its_session_at_once(world: World, operator: OperatorProcess) -> None:
    """The operator does not wait for the deadline, as Kubernetes would have to."""
    world.request("bundle", task={"job": {"name": "work"}})
    joining(world, "work", "bundle")
    name = world.wait_state("bundle", "Active")["serviceAccountName"]
    world.jane.delete(world.path("Job", "work"))
    world.wait_refused(name, timeout=5)
    assert world.wait_state("bundle", "Failed")["endReason"] == "JobDeleted"
    world.wait_nothing_left()


def _living_pods(world: World) -> list[str]:
    pods = world.admin.list(world.path("Pod"))
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
