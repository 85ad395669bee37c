"""The operator is killed and stays dead: Kubernetes alone ends the rights, by deletion and by deadline.

In another run it comes back at each of these points, and brings everything to the same end.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import World


@pytest.fixture
def process(world: World, tmp_path: Path) -> OperatorProcess:
    """Return an operator that the test starts and kills."""
    return world.operator(tmp_path)


def killed_while_active(world: World, process: OperatorProcess, **spec: Any) -> str:
    """Bring a session to life and kill the operator; returns the identity."""
    with process:
        world.request("triage", **spec)
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        world.pod_of("triage")
        process.kill()
    assert world.has_rights(str(name))
    return str(name)


def delete_job(world: World) -> None:
    """Delete the session's Job as its requester."""
    world.jane.delete(world.path("Job", "triage"))


def delete_session(world: World) -> None:
    """Delete the TaskSession as its requester."""
    world.jane.delete(f"{world.sessions}/triage")


def delete_namespace(world: World) -> None:
    """Delete the namespace."""
    world.admin.delete(f"/api/v1/namespaces/{world.namespace}")


@pytest.mark.timed
@pytest.mark.parametrize("delete", [delete_job, delete_session])
def test_deletion_ends_the_rights_within_a_second(
    world: World, process: OperatorProcess, delete: Callable[[World], None]
) -> None:
    """With the operator dead, deleting Job or TaskSession takes the rights within a second."""
    name = killed_while_active(world, process)
    started = time.monotonic()
    delete(world)
    world.wait_refused(name, timeout=5)
    assert time.monotonic() - started <= 1.0
    world.wait_nothing_left()


def test_deleting_a_namespace_ends_the_rights_after_its_pods(world: World, process: OperatorProcess) -> None:
    """With the operator dead, Kubernetes itself takes its time: it waits 5 s, and deletes the pods before the rights.

    The namespace controller looks again after half its estimate of the pods' end, 15 s where a finalizer holds one.
    """
    name = killed_while_active(world, process)
    delete_namespace(world)
    world.wait_refused(name, timeout=25)
    assert not world.admin.list(world.path("Pod"))


@pytest.mark.timed
def test_deleting_a_namespace_with_the_operator_alive_ends_the_rights_at_once(
    world: World, process: OperatorProcess
) -> None:
    """The operator takes the rights when a namespace begins to be deleted, without waiting for its pods."""
    with process:
        world.request("triage")
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        world.pod_of("triage")
        started = time.monotonic()
        delete_namespace(world)
        world.wait_refused(name, timeout=5)
        assert time.monotonic() - started <= 1.0


def test_the_deadline_ends_the_rights(world: World, process: OperatorProcess) -> None:
    """With the operator dead and the Job running, ServiceAccount, RoleBinding and pod are gone after the deadline."""
    name = killed_while_active(world, process, ttl="10s")
    deadline = int(name.rpartition("-")[2])
    world.wait_refused(name, timeout=20)
    # The API server's seconds: the timer may round up to the next one, and garbage collection takes its moment.
    assert time.time() <= deadline + 5
    world.wait_nothing_left()
    wait_for(lambda: not world.admin.list(world.path("Pod")), timeout=20, what="the pod to be gone")


def test_a_completed_job_keeps_rights_until_the_deadline_at_the_latest(world: World, process: OperatorProcess) -> None:
    """With the operator dead, nobody sees the Job complete; the timer ends the rights all the same."""
    name = killed_while_active(world, process, ttl="10s")
    world.finish_pod("triage")
    world.wait_refused(name, timeout=20)
    assert time.time() <= int(name.rpartition("-")[2]) + 5
    world.wait_nothing_left()


@pytest.mark.parametrize("delete", [delete_job, delete_session, delete_namespace])
def test_an_operator_that_comes_back_after_a_deletion_converges(
    world: World, process: OperatorProcess, delete: Callable[[World], None]
) -> None:
    """Whatever was deleted meanwhile, the status and what is left agree after a restart."""
    name = killed_while_active(world, process)
    delete(world)
    with process:
        world.wait_refused(name)
        if delete is delete_namespace:
            return
        if delete is delete_job:
            assert world.wait_state("triage", "Failed")["endReason"] == "JobDeleted"
        world.wait_nothing_left()


def test_an_operator_that_comes_back_after_the_deadline_converges(world: World, process: OperatorProcess) -> None:
    """A session whose deadline passed unseen is Expired after a restart."""
    name = killed_while_active(world, process, ttl="10s")
    world.wait_refused(name, timeout=20)
    with process:
        assert world.wait_state("triage", "Expired")["endReason"] == "DeadlineReached"
        world.wait_nothing_left()


def test_an_operator_that_comes_back_after_the_job_ended_converges(world: World, process: OperatorProcess) -> None:
    """A Job that completed unseen is seen after a restart, and its rights end then."""
    name = killed_while_active(world, process)
    world.finish_pod("triage")
    with process:
        assert world.wait_state("triage", "Completed")["endReason"] == "Completed"
        assert not world.has_rights(name)
        world.wait_nothing_left()


def test_overdue_sessions_end_before_anything_is_granted(world: World, process: OperatorProcess) -> None:
    """After a restart, sessions past their deadline lose their rights before anything is granted."""
    with process:
        for number, ttl in enumerate(("12s", "11s", "10s")):
            world.request(f"overdue-{number}", ttl=ttl)
        bindings = {
            world.wait_state(f"overdue-{number}", "Active")["serviceAccountName"]: number for number in range(3)
        }
        process.kill()
    world.request("fresh")
    # With the timers suspended by an administrator, only the operator can end them.
    with world.without_guards("reserved-names", "job-edit", "operator-job-update"):
        for name in bindings:
            world.admin.patch(world.path("Job", name), {"spec": {"suspend": True}})
    last = max(int(name.rpartition("-")[2]) for name in bindings)
    wait_for(lambda: time.time() > last + 1, timeout=30, what="all deadlines to pass")
    assert len(world.children("RoleBinding")) == 3
    before = len(world.write_entries())
    with process:
        world.wait_state("fresh", "Active")
        for number in range(3):
            world.wait_state(f"overdue-{number}", "Expired")
        world.finish_pod("fresh")
        world.wait_state("fresh", "Completed")
    after = world.write_entries()[before:]
    granted = next(
        i for i, entry in enumerate(after) if (entry["verb"], entry["resource"]) == ("create", "rolebindings")
    )
    assert {entry["name"] for entry in after[:granted] if entry["verb"] == "delete"} >= {f"{n}-0" for n in bindings}
