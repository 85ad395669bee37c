"""The same attacks on a control plane without guards succeed: what refuses them elsewhere is a guard, nothing else."""

import json
from typing import Any

import pytest

from tests.cluster import Api, Cluster, wait_for
from tests.cluster.api import Object
from tests.integration.guards.scene import POD_SPEC, LiveSession, bind, refused

NAME = "ts-11111111-2222-3333-4444-555555555555-2000000000"
RBAC = "rbac.authorization.k8s.io"
VIEW = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
LEGACY = {"kubernetes.io/service-account.name": NAME}
RIDER = {"metadata": {"name": "rider"}, "spec": {**POD_SPEC, "serviceAccountName": NAME}}
HELD = {"metadata": {"name": "held", "labels": {"tasksession.dev/timer": "x"}}, "spec": POD_SPEC}
MORE = {
    "metadata": {"name": "more"},
    "roleRef": VIEW,
    "subjects": [{"kind": "User", "apiGroup": RBAC, "name": f"system:serviceaccount:x:{NAME}"}],
}
SERVICE = {"metadata": {"name": "kubernetes"}, "spec": {"ports": [{"port": 443}]}}
STORED = {"metadata": {"name": "stored", "annotations": LEGACY}, "type": "kubernetes.io/service-account-token"}

#: The guard that refuses, who tries, method, path below the namespace, body.
ATTACKS: list[tuple[str, str, str, str, Object]] = [
    ("reserved-names", "edit", "POST", "/api/v1/{}/serviceaccounts", {"metadata": {"generateName": NAME[:-1]}}),
    ("reserved-names", "edit", "POST", "/api/v1/{}/secrets", {"metadata": {"name": NAME}}),
    ("subjects", "admin", "POST", f"/apis/{RBAC}/v1/{{}}/rolebindings", MORE),
    ("stored-token", "edit", "POST", "/api/v1/{}/secrets", STORED),
    ("pod-create", "edit", "POST", "/api/v1/{}/pods", RIDER),
    ("timer-label", "edit", "POST", "/api/v1/{}/pods", HELD),
    ("token", "edit", "POST", f"/api/v1/{{}}/serviceaccounts/{NAME}/token", {"spec": {"expirationSeconds": 86400}}),
    ("root-ca", "edit", "PATCH", "/api/v1/{}/configmaps/kube-root-ca.crt", {"data": {"ca.crt": "bob's"}}),
    ("root-ca", "edit", "PATCH", "/api/v1/{}/configmaps/kube-root-ca.crt", {"immutable": True}),
    ("kubernetes-service", "edit", "POST", "/api/v1/{}/services", SERVICE),
]


def attempt(person: Api, namespace: str, method: str, path: str, body: Object) -> Any:
    """Try it, as a dry run."""
    if method == "POST":
        return person.create(path.format(f"namespaces/{namespace}"), body, dryRun="All")
    return person.patch(path.format(f"namespaces/{namespace}"), body, dryRun="All")


@pytest.fixture(scope="module")
def exposed(cluster: Cluster) -> tuple[Api, str]:
    """Return the administrator of a control plane without guards, and a namespace with bob and ann in it."""
    admin = cluster.api
    made = admin.create("/api/v1/namespaces", {"metadata": {"generateName": "exposed-"}})
    namespace: str = made["metadata"]["name"]
    for role in ("edit", "admin"):
        bind(admin, namespace, role, role=role, user=f"attacker-{role}")
    admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": NAME}})
    path = f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt"
    wait_for(lambda: admin.find(path), timeout=10, what="kube-root-ca.crt")
    return admin, namespace


@pytest.mark.parametrize(("guard", "role", "method", "path", "body"), ATTACKS)
def test_only_the_guard_refuses(
    live: LiveSession, exposed: tuple[Api, str], guard: str, role: str, method: str, path: str, body: Object
) -> None:
    """A holder of `edit` or `admin` is refused by the guard, and by nothing where there is none."""
    scene = live.scene
    attacker = scene.bob if role == "edit" else scene.ann
    on_live = [each.replace(NAME, live.identity.name) for each in (path, json.dumps(body))]
    words = refused(attempt, attacker, scene.namespace, method, on_live[0], json.loads(on_live[1]))
    assert f"tasksession-{guard}" in words
    admin, namespace = exposed
    attempt(admin.as_user(f"attacker-{role}"), namespace, method, path, body)
