"""Kubernetes' own controllers under both of their names: each its own ServiceAccount, or all of them one user.

A controller manager that runs without --use-service-account-credentials does everything as
`system:kube-controller-manager`. What keeps sessions running and ending has to pass either way.
"""

import pytest

from tasksession.api import names
from tests.cluster import Api
from tests.cluster.api import Object
from tests.cluster.rights import wait_until_holds
from tests.support.scene import (
    ASKS,
    POD_SPEC,
    LiveSession,
    Scene,
    job_manifest,
    refused,
    session_manifest,
)

MANAGER = "system:kube-controller-manager"
REQUESTED_BY = names.REQUESTED_BY_ANNOTATION
HELD = {"finalizers": ["foregroundDeletion"]}
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


@pytest.fixture(scope="module", params=["service-accounts", "one-user"])
def controller(scene: Scene, request: pytest.FixtureRequest) -> dict[str, Api]:
    """Return the clients of three controllers, with each controller manager's way of naming them."""
    kinds = ("job-controller", "cronjob-controller", "generic-garbage-collector")
    if request.param == "service-accounts":
        return {kind: scene.admin.as_service_account("kube-system", kind) for kind in kinds}
    # Such an installation has to give the one user what its controllers need.
    binding = {
        "metadata": {"name": "all-controllers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": MANAGER}],
    }
    scene.admin.create(scene.rbac("rolebindings"), binding)
    manager = scene.admin.as_user(MANAGER)
    wait_until_holds(manager, scene.namespace, [EVERYTHING])
    return dict.fromkeys(kinds, manager)


def sessions_pod(live: LiveSession) -> Object:
    """Return a pod as the Job controller makes it for a released Job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "deploy-1", "uid": live.identity.uid}
    return {
        "metadata": {
            "generateName": "deploy-1-",
            "labels": {"batch.kubernetes.io/controller-uid": live.identity.uid},
            "annotations": {names.SERVICE_ACCOUNT_ANNOTATION: live.identity.name},
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {
            **POD_SPEC,
            "automountServiceAccountToken": False,
        },
    }


def test_the_job_controller_starts_and_ends_a_sessions_pods(
    scene: Scene, live: LiveSession, controller: dict[str, Api]
) -> None:
    """It creates them, takes its finalizer off, and deletes them."""
    job_controller = controller["job-controller"]
    made = job_controller.create(scene.core("pods"), sessions_pod(live))
    assert made["spec"]["serviceAccountName"] == live.identity.name
    path = scene.core("pods", made["metadata"]["name"])
    job_controller.patch(path, {"metadata": {"finalizers": None}})
    job_controller.request("DELETE", path, body={"gracePeriodSeconds": 0})


def test_the_cronjob_controller_keeps_the_stamp(scene: Scene, controller: dict[str, Api]) -> None:
    """A run bears the name of who wrote the CronJob, and needs no `use` of the controller's own."""
    body = job_manifest("run", annotations={**ASKS, REQUESTED_BY: "alice"})
    made = controller["cronjob-controller"].create(scene.batch("jobs"), body, dryRun="All")
    assert made["metadata"]["annotations"][REQUESTED_BY] == "alice"
    assert made["spec"]["suspend"] is True


def test_the_garbage_collector_tends_to_everything(scene: Scene, live: LiveSession, controller: dict[str, Api]) -> None:
    """It writes owners and finalizers of sessions, Jobs, timers, identities, rights and pods, to take them away."""
    pod = live.pod()["metadata"]["name"]
    paths = [scene.sessions("deploy-1"), scene.batch("jobs", "deploy-1"), scene.core("pods", pod), *live.rights()]
    for path in paths:
        for change in ({"ownerReferences": None}, HELD):
            controller["generic-garbage-collector"].patch(path, {"metadata": change}, dryRun="All")
        assert "tasksession-" in refused(scene.admin.patch, path, {"metadata": HELD}, dryRun="All"), path


def test_deleting_all_sessions_takes_everything_along(scene: Scene) -> None:
    """deletecollection of TaskSessions that orphans is refused, also by the old option; one that cascades passes."""
    scene.alice.create(scene.sessions(), session_manifest("collected"))
    path, query = scene.sessions(), {"fieldSelector": "metadata.name=collected"}
    for options in ({"propagationPolicy": "Orphan"}, {"orphanDependents": "true"}):
        words = refused(scene.admin.request, "DELETE", path, query={**query, **options})
        assert "must go with it" in words
    assert "must go with it" in refused(
        scene.admin.request, "DELETE", scene.sessions("collected"), body={"orphanDependents": True}
    )
    scene.admin.request("DELETE", path, query={**query, "propagationPolicy": "Background"})
    assert scene.admin.find(scene.sessions("collected")) is None
