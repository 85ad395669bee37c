"""Objects that are no session's: the same with the guards as on a control plane without them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Api, Cluster, wait_for
from tests.cluster.api import Object
from tests.support.scene import NODE, POD_SPEC, Scene, refused

#: What differs between any two creations of the same object.
VOLATILE = ("uid", "creationTimestamp", "resourceVersion", "managedFields", "namespace", "generation")


def plain(made: Any) -> Any:
    """Return an object without what differs between two creations."""
    if isinstance(made, dict):
        return {
            key: plain(value)
            for key, value in made.items()
            if key not in VOLATILE and not key.endswith("controller-uid")
        }
    return [plain(each) for each in made] if isinstance(made, list) else made


ORDINARY: list[tuple[str, str, Object]] = [
    (
        "batch/v1",
        "jobs",
        {
            "metadata": {"name": "x", "labels": {"a": "b"}, "finalizers": ["example.com/x"]},
            "spec": {
                "template": {
                    "spec": {**POD_SPEC, "serviceAccountName": "default", "terminationGracePeriodSeconds": 3600}
                }
            },
        },
    ),
    (
        "batch/v1",
        "jobs",
        {"metadata": {"name": "ts-backend"}, "spec": {"suspend": True, "template": {"spec": POD_SPEC}}},
    ),
    (
        "batch/v1",
        "cronjobs",
        {
            "metadata": {"name": "x"},
            "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": POD_SPEC}}}},
        },
    ),
    (
        "v1",
        "pods",
        {
            "metadata": {"name": "x", "annotations": {"example.com/service-account": "x"}},
            "spec": {**POD_SPEC, "automountServiceAccountToken": False},
        },
    ),
    ("v1", "serviceaccounts", {"metadata": {"name": "ts-foo"}}),
    ("v1", "serviceaccounts", {"metadata": {"name": "ts-0123abcd-backend"}}),
    ("v1", "secrets", {"metadata": {"name": "ts-foo"}, "data": {"a": "Yg=="}}),
    ("v1", "configmaps", {"metadata": {"name": "x"}, "data": {"a": "b"}}),
    ("v1", "configmaps", {"metadata": {"name": "y"}, "binaryData": {"a": "Yg=="}}),
    ("v1", "services", {"metadata": {"name": "x"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}),
    ("rbac.authorization.k8s.io/v1", "roles", {"metadata": {"name": "ts-foo"}, "rules": []}),
    (
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        {
            "metadata": {"name": "ts-foo"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ts-foo"},
            "subjects": [{"kind": "ServiceAccount", "name": "ts-foo", "namespace": "default"}],
        },
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        {
            "metadata": {"name": "nobody"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ts-foo"},
        },
    ),
]


def create_all(admin: Api, namespace: str) -> list[Object]:
    """Dry-run all ordinary objects in a namespace and return what came of them."""
    roots = {"v1": "/api/v1", **{version: f"/apis/{version}" for version, _, _ in ORDINARY if "/" in version}}
    return [
        plain(admin.create(f"{roots[version]}/namespaces/{namespace}/{kind}", body, dryRun="All"))
        for version, kind, body in ORDINARY
    ]


@pytest.fixture(scope="module")
def unguarded(cluster: Cluster) -> Iterator[Api]:
    """Return the administrator of a control plane without guards."""
    yield cluster.api


def test_ordinary_objects_come_out_the_same(unguarded: Api, guarded: Api, scene: Scene) -> None:
    """Jobs, CronJobs, pods, ServiceAccounts, Secrets, Roles: not one field is different with the guards."""
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    wait_for(lambda: unguarded.find(path), timeout=10, what="the default ServiceAccount")
    assert create_all(guarded, scene.namespace) == create_all(unguarded, "default")


def test_an_ordinary_job_runs_and_goes(scene: Scene) -> None:
    """Its pod is made by the Job controller under its own name, and an orphaning delete is the author's own affair."""
    body = {"metadata": {"name": "ordinary"}, "spec": {"template": {"spec": POD_SPEC}}}
    scene.bob.create(scene.batch("jobs"), body)
    pods = wait_for(
        lambda: scene.admin.list(scene.core("pods"), labelSelector="job-name=ordinary"), timeout=20, what="its pod"
    )
    assert pods[0]["metadata"]["name"].startswith("ordinary-")
    scene.bob.patch(scene.batch("jobs", "ordinary"), {"spec": {"suspend": True, "activeDeadlineSeconds": 9}})
    scene.bob.delete(scene.batch("jobs", "ordinary"), propagation="Orphan")


def test_other_tokens_are_as_long_as_asked(scene: Scene) -> None:
    """Tokens of ServiceAccounts that are no session's are not limited, whatever their name."""
    scene.bob.create(scene.core("serviceaccounts"), {"metadata": {"name": "ts-backend"}})
    for spec in ({"expirationSeconds": 43200, "audiences": ["istio-ca"]}, {"expirationSeconds": 86400}):
        made: Any = scene.bob.create(scene.core("serviceaccounts", "ts-backend", "token"), {"spec": spec})
        assert made["spec"]["expirationSeconds"] == spec["expirationSeconds"]


def test_pods_of_others_may_be_entered_edited_and_deleted(scene: Scene) -> None:
    """exec reaches the (missing) node, the image may be changed, any grace may be chosen."""
    scene.bob.create(scene.core("pods"), {"metadata": {"name": "ts-pod"}, "spec": POD_SPEC})
    assert "does not have a host assigned" in refused(
        scene.bob.create, scene.core("pods", "ts-pod", "exec"), {}, command="sh"
    )
    containers = [{"name": "task", "image": "other"}]
    scene.bob.patch(
        scene.core("pods", "ts-pod"),
        {"spec": {"containers": containers}},
        content_type="application/strategic-merge-patch+json",
    )
    scene.bob.request("DELETE", scene.core("pods", "ts-pod"), body={"gracePeriodSeconds": 86400})


def test_a_mirror_pod_is_registered(scene: Scene) -> None:
    """Static pods have no ServiceAccount; the kubelet's mirror of one passes."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": NODE, "controller": True}
    owner["uid"] = scene.admin.get(f"/api/v1/nodes/{NODE}")["metadata"]["uid"]
    body = {
        "metadata": {
            "name": f"static-{NODE}",
            "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [owner],
        },
        "spec": {**POD_SPEC, "nodeName": NODE},
    }
    scene.kubelet.create("/api/v1/namespaces/default/pods", body)
