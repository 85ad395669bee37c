"""What a session consists of is the operator's alone, its identity gets no other rights, and hands none on."""

from typing import Any

import pytest

from tests.cluster import Api, wait_for
from tests.cluster.api import Object
from tests.support.scene import ASKS, POD_SPEC, LiveSession, Scene, job_manifest, refused

FUTURE = "ts-11111111-2222-3333-4444-555555555555-2000000000"
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}

PREPARED: list[Any] = [
    ("serviceaccounts", {}),
    ("secrets", {}),
    ("roles", {"rules": []}),
    ("rolebindings", {"roleRef": VIEW, "subjects": []}),
    ("jobs", {"spec": {"template": {"spec": POD_SPEC}}}),
]


def path_of(scene: Scene, kind: str) -> str:
    """Return the collection of a kind."""
    if kind in ("roles", "rolebindings"):
        return scene.rbac(kind)
    return scene.batch(kind) if kind == "jobs" else scene.core(kind)


@pytest.mark.parametrize(("kind", "body"), PREPARED)
def test_names_of_sessions_are_reserved(scene: Scene, kind: str, body: Object) -> None:
    """Nobody prepares a session's objects, by name or by generateName, an administrator no more than ann."""
    for metadata in ({"name": FUTURE}, {"name": FUTURE + "-0"}, {"generateName": FUTURE[:-3]}):
        for person in (scene.ann, scene.admin):
            words = refused(person.create, path_of(scene, kind), {"metadata": metadata, **body})
            assert "this name is reserved for sessions" in words


EDITS: list[Any] = [
    ("serviceaccounts", "", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "x"}}}),
    ("serviceaccounts", "", {"metadata": {"ownerReferences": None}}),
    ("serviceaccounts", "", {"metadata": {"finalizers": ["example.com/hold"]}}),
    ("roles", "", {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
    ("rolebindings", "", {"metadata": {"finalizers": ["example.com/hold"]}}),
    ("rolebindings", "-0", {"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}]}),
    ("jobs", "", {"spec": {"suspend": True}}),
    ("jobs", "", {"spec": {"activeDeadlineSeconds": 99999}}),
    ("jobs", "", {"spec": {"ttlSecondsAfterFinished": None}}),
]


@pytest.mark.parametrize(("kind", "suffix", "change"), EDITS)
def test_nobody_edits_what_a_session_consists_of(
    scene: Scene, live: LiveSession, kind: str, suffix: str, change: Object
) -> None:
    """ServiceAccount, Role, RoleBindings and timer stay as the operator made them; ann's `admin` changes nothing."""
    path = path_of(scene, kind) + f"/{live.identity.name}{suffix}"
    for person in (scene.ann, scene.admin):
        words = refused(person.patch, path, change)
        assert "is reserved for sessions" in words or "may not grant rights" in words or "tasksession-job-edit" in words


def test_no_other_binding_names_a_session(scene: Scene, live: LiveSession) -> None:
    """More rights for a session are refused in any binding, anywhere, as ServiceAccount and as User."""
    name, group = live.identity.name, "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": name, "namespace": scene.namespace}
    user = {"kind": "User", "apiGroup": group, "name": f"system:serviceaccount:{scene.namespace}:{name}"}
    for subject in (account, user):
        body = {"metadata": {"name": "more"}, "roleRef": VIEW, "subjects": [subject]}
        assert "may not grant rights to a session" in refused(scene.ann.create, scene.rbac("rolebindings"), body)
        elsewhere = f"/apis/{group}/v1/namespaces/default/rolebindings"
        assert "may not grant rights to a session" in refused(scene.admin.create, elsewhere, body)
        clusterwide = f"/apis/{group}/v1/clusterrolebindings"
        assert "may not grant rights to a session" in refused(scene.admin.create, clusterwide, body)


def test_the_trust_of_pods_is_not_redirected(scene: Scene) -> None:
    """kube-root-ca.crt and the Service name `kubernetes` are locked; harmless marks on the ConfigMap are not."""
    path = scene.core("configmaps", "kube-root-ca.crt")
    wait_for(lambda: scene.admin.find(path), timeout=10, what="kube-root-ca.crt")
    for change in ({"data": {"ca.crt": "bob's"}}, {"immutable": True}, {"binaryData": {"x": ""}}):
        assert "Kubernetes alone publishes it" in refused(scene.bob.patch, path, change)
    scene.bob.patch(path, {"metadata": {"labels": {"a": "b"}}})
    service = {"metadata": {"name": "kubernetes"}, "spec": {"ports": [{"port": 443}]}}
    assert "would redirect the API server's address" in refused(scene.bob.create, scene.core("services"), service)


def test_a_root_ca_that_was_deleted_comes_back(scene: Scene) -> None:
    """Kubernetes' own publisher is let through."""
    path = scene.core("configmaps", "kube-root-ca.crt")
    before = wait_for(lambda: scene.admin.find(path), timeout=10, what="kube-root-ca.crt")["metadata"]["uid"]
    scene.bob.delete(path)

    def published() -> bool:
        found = scene.admin.find(path)
        return found is not None and found["metadata"]["uid"] != before

    wait_for(published, timeout=10, what="kube-root-ca.crt to be published again")


@pytest.fixture(scope="module")
def powerful(scene: Scene, live: LiveSession) -> Api:
    """Return the session itself, with rights it would never be granted: what is refused is refused by a guard."""
    group = f"system:serviceaccounts:{scene.namespace}"
    body = {
        "metadata": {"name": f"{scene.namespace}-everything"},
        "roleRef": {**VIEW, "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}],
    }
    scene.admin.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body)
    return scene.admin.with_token(live.token())


def test_a_session_works_with_its_own_token(scene: Scene, powerful: Api) -> None:
    """Ordinary writes pass, creating a ServiceAccount among them."""
    powerful.create(scene.core("configmaps"), {"metadata": {"generateName": "own-"}})
    powerful.create(scene.core("serviceaccounts"), {"metadata": {"name": "made-by-session"}})
    powerful.create(scene.batch("jobs"), job_manifest("made-by-session"), dryRun="All")


def test_a_session_hands_nothing_on(scene: Scene, live: LiveSession, powerful: Api) -> None:
    """Whatever rights it has: no bindings, no tokens, no stored tokens, no sessions, no admission."""
    binding = {"metadata": {"name": "x"}, "roleRef": VIEW, "subjects": []}
    assert "may not grant rights" in refused(powerful.create, scene.rbac("rolebindings"), binding)
    assert "obtain tokens" in refused(powerful.create, scene.core("serviceaccounts", "default", "token"), {"spec": {}})
    stored = {
        "metadata": {"name": "stored", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
    }
    assert "obtain tokens" in refused(powerful.create, scene.core("secrets"), stored)
    assert "may not start sessions" in refused(powerful.create, scene.batch("jobs"), job_manifest(annotations=ASKS))
    template = {"metadata": {"annotations": ASKS}, "spec": {"template": {"spec": POD_SPEC}}}
    cron = {"metadata": {"name": "x"}, "spec": {"schedule": "* * * * *", "jobTemplate": template}}
    assert "may not start sessions" in refused(powerful.create, scene.batch("cronjobs"), cron)
    assert "nor start or approve sessions" in refused(powerful.delete, scene.sessions("deploy-1"))


def test_nobody_writes_by_impersonating_a_session(scene: Scene, live: LiveSession, powerful: Api) -> None:
    """An impersonated session has no credential of its own, so its writes are refused, dry runs too."""
    impostor = scene.admin.as_service_account(scene.namespace, live.identity.name)
    body = {"metadata": {"name": "x"}}
    assert "may not be impersonated" in refused(impostor.create, scene.core("configmaps"), body, dryRun="All")
    assert "may not be impersonated" in refused(impostor.delete, scene.core("configmaps", "kube-root-ca.crt"))
