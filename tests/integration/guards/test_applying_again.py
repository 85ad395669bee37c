"""Manifests of annotated Jobs that kubectl, Argo CD or Flux apply again and again: no effect, no second run."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasksession.api import names
from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.installation import InstallationError, kubectl
from tests.support.scene import ASKS, Scene, job_manifest, refused, release

CLIENT_SIDE: tuple[str, ...] = ()
SERVER_SIDE: tuple[str, ...] = ("--server-side",)
FORCED: tuple[str, ...] = ("--server-side", "--force-conflicts")

WRITTEN: list[Any] = [
    pytest.param({}, id="nothing"),
    pytest.param({"suspend": True}, id="suspended"),
    pytest.param({"suspend": False}, id="running"),
    pytest.param({"activeDeadlineSeconds": 200}, id="deadline"),
    pytest.param({"suspend": True, "activeDeadlineSeconds": 200}, id="suspended-deadline"),
    pytest.param({"template": {"automountServiceAccountToken": True, "enableServiceLinks": True}}, id="token"),
]


class Author:
    """alice with kubectl, and one manifest of hers in a namespace of its own name."""

    def __init__(self, cluster: Cluster, scene: Scene, name: str, spec: Object) -> None:
        self.cluster, self.scene, self.name = cluster, scene, name
        own = dict(spec)
        body = job_manifest(name, annotations=ASKS, pod=own.pop("template", None))
        self.manifest: Object = {"apiVersion": "batch/v1", "kind": "Job", **body}
        self.manifest["spec"] |= own

    def apply(self, *options: str) -> str:
        """Run `kubectl apply` of the manifest as alice and return what it printed."""
        person = ("--as=alice", "--as-group=people", "--as-uid=uid-alice", "--namespace", self.scene.namespace)
        return kubectl(self.cluster, "apply", *person, *options, "-f", "-", given=json.dumps(self.manifest))

    def refused(self, *options: str) -> str:
        """Run `kubectl apply`, which has to fail, and return its words."""
        with pytest.raises(InstallationError) as raised:
            self.apply(*options)
        return str(raised.value)

    @property
    def path(self) -> str:
        """The Job's path."""
        return self.scene.batch("jobs", self.name)

    def spec(self) -> Object:
        """Return the Job's spec as it is now."""
        spec: Object = self.scene.admin.get(self.path)["spec"]
        return spec

    def release(self) -> None:
        """Release the Job as the operator does: an author's activeDeadlineSeconds stays."""
        job = self.scene.admin.get(self.path)
        deadline = int((datetime.now(UTC) + timedelta(minutes=5)).timestamp())
        change = release(names.Identity(job["metadata"]["uid"], deadline))
        if "activeDeadlineSeconds" in job["spec"]:
            del change["spec"]["activeDeadlineSeconds"]
        self.scene.operator.patch(self.path, change)

    def stop(self) -> None:
        """Stop the Job as the operator does."""
        self.scene.operator.patch(self.path, {"spec": {"activeDeadlineSeconds": 1}})


@pytest.mark.parametrize("spec", WRITTEN)
def test_client_side_apply_again_has_no_effect(
    guarded_cluster: Cluster, scene: Scene, spec: Object, request: pytest.FixtureRequest
) -> None:
    """Before and after release the manifest is taken, whatever it says of suspend, and the Job stays as it is."""
    author = Author(guarded_cluster, scene, f"client-{request.node.callspec.id}", spec)
    author.apply()
    suspended = author.spec()
    assert suspended["suspend"] is True
    author.apply()
    assert author.spec() == suspended
    author.release()
    released = author.spec()
    assert released["suspend"] is False
    assert released["activeDeadlineSeconds"] == spec.get("activeDeadlineSeconds", 300)
    for _ in range(2):
        author.apply()
        assert author.spec() == released


@pytest.mark.parametrize("spec", WRITTEN)
def test_server_side_apply_again_has_no_effect(
    guarded_cluster: Cluster, scene: Scene, spec: Object, request: pytest.FixtureRequest
) -> None:
    """With --force-conflicts, as Argo CD and Flux do, the manifest is taken at any time, without effect."""
    author = Author(guarded_cluster, scene, f"server-{request.node.callspec.id}", spec)
    author.apply(*SERVER_SIDE)
    suspended = author.spec()
    assert suspended["suspend"] is True
    author.apply(*FORCED)
    assert author.spec() == suspended
    author.release()
    released = author.spec()
    for _ in range(2):
        author.apply(*FORCED)
        assert author.spec() == released


def test_without_force_a_server_side_apply_meets_the_operator(guarded_cluster: Cluster, scene: Scene) -> None:
    """After release, `suspend: true` in the manifest is a field conflict; `false`, and nothing, pass."""
    author = Author(guarded_cluster, scene, "unforced-true", {"suspend": True})
    author.apply(*SERVER_SIDE)
    author.apply(*SERVER_SIDE)
    author.release()
    words = author.refused(*SERVER_SIDE)
    assert "conflict" in words
    assert ".spec.suspend" in words
    others: tuple[tuple[str, Object], ...] = (
        ("unforced-false", {"suspend": False}),
        ("unforced-nothing", {}),
        ("unforced-deadline", {"activeDeadlineSeconds": 200}),
    )
    for name, spec in others:
        author = Author(guarded_cluster, scene, name, spec)
        author.apply(*SERVER_SIDE)
        author.apply(*SERVER_SIDE)
        author.release()
        author.apply(*SERVER_SIDE)
        assert author.spec()["suspend"] is False


def test_a_field_taken_out_of_the_manifest_stays(guarded_cluster: Cluster, scene: Scene) -> None:
    """An author who deletes `suspend: true` from the manifest does not start the Job with it."""
    for name, options in (("dropped-client", CLIENT_SIDE), ("dropped-server", SERVER_SIDE), ("dropped-forced", FORCED)):
        author = Author(guarded_cluster, scene, name, {"suspend": True})
        author.apply(*options)
        del author.manifest["spec"]["suspend"]
        author.apply(*options)
        assert author.spec()["suspend"] is True


def test_after_a_stop_another_deadline_is_refused(guarded_cluster: Cluster, scene: Scene) -> None:
    """A stopped Job is not started again by its manifest: with a deadline of its own it is refused, and told why."""
    for name, options in (("stopped-client", CLIENT_SIDE), ("stopped-server", FORCED)):
        author = Author(guarded_cluster, scene, name, {"activeDeadlineSeconds": 200})
        author.apply(*options)
        author.release()
        author.stop()
        words = author.refused(*options)
        assert "the session of this Job has ended" in words
        assert "create a new Job for a new session" in words
        assert author.spec()["activeDeadlineSeconds"] == 1
    unforced = Author(guarded_cluster, scene, "stopped-unforced", {"activeDeadlineSeconds": 200})
    unforced.apply(*SERVER_SIDE)
    unforced.release()
    unforced.stop()
    assert "conflict" in unforced.refused(*SERVER_SIDE)
    for name, options in (("without-client", CLIENT_SIDE), ("without-server", SERVER_SIDE)):
        without = Author(guarded_cluster, scene, name, {})
        without.apply(*options)
        without.release()
        without.stop()
        without.apply(*options)
        assert without.spec()["activeDeadlineSeconds"] == 1


def test_everybody_else_who_changes_suspend_is_refused(guarded_cluster: Cluster, scene: Scene) -> None:
    """A patch of suspend, by kubectl or by hand, says that the Job is the operator's to start."""
    author = Author(guarded_cluster, scene, "patched", {})
    author.apply()
    start = {"spec": {"suspend": False}}
    for manager in ("", "kubectl-patch", "kubectl-edit"):
        query = {"fieldManager": manager} if manager else {}
        assert "may not edit the Job of a session" in refused(scene.alice.patch, author.path, start, **query)
    with pytest.raises(InstallationError, match="may not edit the Job of a session"):
        kubectl(
            guarded_cluster, "patch", "job", author.name, "--namespace", scene.namespace, "--as=bob",
            "--patch", json.dumps(start),
        )  # fmt: skip


@pytest.mark.parametrize("manager", ["kubectl", "argocd-controller", "kustomize-controller", "helm"])
def test_a_claimed_field_manager_brings_nothing(guarded_cluster: Cluster, scene: Scene, manager: str) -> None:
    """bob, who calls himself a tool, starts nothing and changes nothing else."""
    author = Author(guarded_cluster, scene, f"claimed-{manager}", {})
    author.apply()
    scene.bob.patch(author.path, {"spec": {"suspend": False}}, fieldManager=manager)
    assert author.spec()["suspend"] is True
    for spec in ({"parallelism": 3}, {"activeDeadlineSeconds": 9}, {"suspend": False, "parallelism": 3}):
        assert "may not edit the Job" in refused(scene.bob.patch, author.path, {"spec": spec}, fieldManager=manager)
    marks = {"metadata": {"annotations": {names.POLICY_ANNOTATION: "other"}}, "spec": {"suspend": False}}
    assert "set when a Job is created" in refused(scene.bob.patch, author.path, marks, fieldManager=manager)
    assert author.spec()["suspend"] is True


def test_ordinary_jobs_are_applied_with_effect(scene: Scene) -> None:
    """`suspend` of a Job that asks for nothing is its author's affair."""
    body = {**job_manifest("free-to-suspend"), "apiVersion": "batch/v1", "kind": "Job"}
    scene.bob.create(scene.batch("jobs"), body)
    for suspend in (True, False):
        body["spec"]["suspend"] = suspend
        made = scene.bob.patch(
            scene.batch("jobs", "free-to-suspend"), {"spec": {"suspend": suspend}}, fieldManager="kubectl"
        )
        assert made["spec"]["suspend"] is suspend
