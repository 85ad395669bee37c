"""Manifests of annotated Jobs that Git applies again after their session has ended, or after the Job was deleted."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.person import Person
from tests.cluster.waiting import wait_for
from tests.support.world import World

OPTIONS: dict[str, tuple[str, ...]] = {"client": (), "server": ("--server-side", "--force-conflicts")}


class Git:
    """One manifest of Jane's, and the way in which it is applied."""

    def __init__(self, world: World, options: tuple[str, ...], spec: Object) -> None:
        self.world, self.options = world, options
        self.jane = Person(world.cluster, "jane")
        annotations = {
            "tasksession.dev/policy": world.policy,
            "tasksession.dev/ttl": "5m",
            "tasksession.dev/access": "roles: [{kind: ClusterRole, name: view}]",
        }
        metadata = {"name": "sync", "namespace": world.namespace, "annotations": annotations}
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": world.job_spec(**spec)}
        self.manifest: Object = body

    def apply(self) -> None:
        """Apply the manifest, which has to succeed."""
        self.jane.kubectl("apply", *self.options, "-f", "-", given=json.dumps(self.manifest))

    def job(self) -> Object:
        """Return the Job's uid and spec as they are now."""
        found = self.world.admin.get(self.world.path("Job", "sync"))
        return {"uid": found["metadata"]["uid"], "spec": found["spec"]}

    def wait(self, state: str) -> Object:
        """Wait until the Job's session is in a state; return its status and uid."""
        path = f"{self.world.sessions}/sync"
        wait_for(lambda: self.world.admin.find(path), timeout=20, what="the Job's session")
        return {**self.world.wait_state("sync", state), "uid": self.world.session("sync")["metadata"]["uid"]}


@pytest.fixture(params=list(OPTIONS))
def git(world: World, request: pytest.FixtureRequest) -> Iterator[Git]:
    """Return a manifest that is applied client-side, or server-side as Argo CD and Flux do."""
    made = Git(world, OPTIONS[request.param], {"suspend": True})
    yield made
    made.jane.api.close()


def created(world: World) -> list[tuple[str, str]]:
    """Return what the operator has created so far."""
    return [write for write in world.writes() if write[0] == "create"]


def test_a_finished_job_is_not_granted_again(world: World, operator: OperatorProcess, git: Git) -> None:
    """Applied after its end, the Job stays as it is, and nothing is created for it."""
    git.apply()
    first = git.wait("Active")
    world.finish_pod("sync")
    git.wait("Completed")
    world.wait_nothing_left()
    before, job = created(world), git.job()
    git.apply()
    last = git.wait("Completed")
    assert (last["uid"], last["serviceAccountName"]) == (first["uid"], first["serviceAccountName"])
    assert git.job() == job
    assert created(world) == before


def test_a_stopped_job_is_not_started_again(world: World, operator: OperatorProcess, git: Git) -> None:
    """Revoked while it ran: a manifest without a deadline of its own is taken, and has no effect."""
    git.apply()
    identity = git.wait("Active")["serviceAccountName"]
    world.pod_of("sync")
    world.revoke("sync")
    git.wait("Revoked")
    world.wait_refused(identity)
    wait_for(lambda: git.job()["spec"]["activeDeadlineSeconds"] == 1, timeout=10, what="the Job to be stopped")
    git.apply()
    assert git.job()["spec"]["activeDeadlineSeconds"] == 1
    world.wait_nothing_left()
    assert git.wait("Revoked")["serviceAccountName"] == identity


def test_a_job_that_was_deleted_is_a_new_one(world: World, operator: OperatorProcess, git: Git) -> None:
    """Deleting the Job and applying the manifest runs it again, as another session with another identity."""
    git.apply()
    first = git.wait("Active")
    git.jane.kubectl("delete", "job", "-n", world.namespace, "sync", "--wait=true", "--timeout=30s")
    git.apply()

    def another() -> bool:
        found = world.admin.find(f"{world.sessions}/sync")
        return found is not None and found["metadata"]["uid"] != first["uid"]

    wait_for(another, timeout=20, what="another session")
    assert git.wait("Active")["serviceAccountName"] != first["serviceAccountName"]
