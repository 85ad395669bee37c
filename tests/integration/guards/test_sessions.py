"""TaskSessions: who may ask, as whom, and what may change afterwards."""

from typing import Any

import pytest

from tests.support.scene import LiveSession, Scene, refused, session_manifest


def test_the_requester_is_who_created_it(scene: Scene) -> None:
    """A forged requester is overwritten at creation, and neither patch nor replacement changes the stamp."""
    forged = {"username": "root", "uid": "0", "groups": ["system:masters"]}
    made = scene.alice.create(scene.sessions(), session_manifest("stamped", requester=forged))
    stamp = {"username": "alice", "uid": "uid-alice", "groups": ["people", "system:authenticated"]}
    assert made["spec"]["requester"] == stamp
    patched = scene.alice.patch(scene.sessions("stamped"), {"spec": {"requester": forged}})
    assert patched["spec"]["requester"] == stamp
    del patched["spec"]["requester"]
    assert scene.alice.replace(scene.sessions("stamped"), patched)["spec"]["requester"] == stamp


def test_a_policy_is_only_for_who_may_use_it(scene: Scene) -> None:
    """bob, with `edit` but without `use`, is refused with a sentence; so is alice for another policy."""
    words = refused(scene.bob.create, scene.sessions(), session_manifest("bobs"))
    assert (
        f"bob may not use SessionPolicy deploy in namespace {scene.namespace}, or it does not exist: check the name"
        in words
    )
    other = session_manifest("other", policy="admin")
    assert "alice may not use SessionPolicy admin" in refused(scene.alice.create, scene.sessions(), other)


def test_a_job_template_needs_the_right_to_create_jobs(scene: Scene) -> None:
    """carl may use the policy and create TaskSessions, but no Jobs: so not through a TaskSession either."""
    carl = scene.admin.as_user("carl")
    words = refused(carl.create, scene.sessions(), session_manifest("carls"))
    assert "carl may not create Jobs" in words
    carl.create(scene.sessions(), session_manifest("carls", task={"job": {"name": "any"}}))


def test_no_session_is_in_an_excluded_namespace(scene: Scene) -> None:
    """An administrator too is refused in kube-system and in the operator's namespace."""
    for namespace in ("kube-system", "tasksession-system"):
        path = f"/apis/tasksession.dev/v1alpha1/namespaces/{namespace}/tasksessions"
        assert f"no session may be in namespace {namespace}" in refused(scene.admin.create, path, session_manifest())


def test_a_session_does_not_change_after_creation(scene: Scene) -> None:
    """spec, owners, finalizers and status are fixed, for the requester and for administrators; revoking is one way."""
    path = scene.sessions("fixed")
    scene.alice.create(scene.sessions(), session_manifest("fixed"))
    assert "cannot be changed" in refused(scene.alice.patch, path, {"spec": {"ttl": "1h"}})
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"hostPID": True}}}}
    assert "cannot be changed" in refused(scene.admin.patch, path, {"spec": {"task": {"jobTemplate": template}}})
    assert "no finalizers" in refused(scene.admin.patch, path, {"metadata": {"finalizers": ["example.com/hold"]}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": "1-2"}
    assert "owner of a TaskSession" in refused(scene.admin.patch, path, {"metadata": {"ownerReferences": [owner]}})
    assert "may not write the status" in refused(scene.admin.patch, path + "/status", {"status": {"state": "Active"}})
    scene.alice.patch(path, {"spec": {"revoked": True}})
    assert "only turn true" in refused(scene.alice.patch, path, {"spec": {"revoked": False}})
    scene.alice.patch(path, {"metadata": {"labels": {"team": "blue"}}})


def test_a_finalizer_at_creation_is_refused(scene: Scene) -> None:
    """A finalizer would keep the session, and its rights, alive after it was deleted."""
    body = session_manifest("held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    assert "no finalizers" in refused(scene.alice.create, scene.sessions(), body)


MARKS: list[Any] = [
    {"labels": {"argocd.argoproj.io/instance": "x"}},
    {"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}},
    {"labels": {"helm.toolkit.fluxcd.io/name": "x"}},
    {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
    {"annotations": {"argocd.argoproj.io/tracking-id": "x"}},
    {"annotations": {"argocd.argoproj.io/sync-wave": "1"}},
    {"annotations": {"meta.helm.sh/release-name": "x"}},
]


@pytest.mark.parametrize("marks", MARKS)
def test_a_session_from_git_keeps_its_tombstone(scene: Scene, marks: dict[str, Any]) -> None:
    """A TaskSession that Argo CD, Flux or Helm tracks may not remove itself: it would be granted again."""
    body = session_manifest("tracked", ttlSecondsAfterFinished=60)
    body["metadata"].update(marks)
    assert "leave spec.ttlSecondsAfterFinished out" in refused(scene.alice.create, scene.sessions(), body)
    del body["spec"]["ttlSecondsAfterFinished"]
    scene.alice.create(scene.sessions(), body, dryRun="All")


def test_deleting_takes_everything_along(scene: Scene, live: LiveSession) -> None:
    """Orphaning deletes of TaskSession, Job and timer are refused, the silent default of batch/v1 among them."""
    timer = live.identity.name
    for path in (scene.sessions("deploy-1"), scene.batch("jobs", "deploy-1"), scene.batch("jobs", timer)):
        assert "must go with it" in refused(scene.admin.delete, path, propagation="Orphan"), path
    for path in (scene.batch("jobs", "deploy-1"), scene.batch("jobs", timer)):
        assert "must go with it" in refused(scene.admin.delete, path, propagation=None), path
    query = {"propagationPolicy": "Orphan", "labelSelector": "tasksession.dev/session=deploy-1"}
    assert "must go with it" in refused(scene.admin.request, "DELETE", scene.batch("jobs"), query=query)
