"""The operator's own writes: a session's life passes, with its own token, and nothing else does."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasksession.api import names
from tasksession.api.access import RoleReference
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.observed import ObservedJob
from tests.cluster.api import Object
from tests.support.scene import POD_SPEC, LiveSession, Scene, refused, release, session_manifest


def test_a_session_is_granted_released_and_ended_by_the_operator(scene: Scene) -> None:
    """All writes of a session's life pass with the operator's token, and its pod gets the identity and the prefix."""
    own = LiveSession.start(scene, "whole-life")
    pod = own.pod()
    assert pod["spec"]["serviceAccountName"] == own.identity.name
    assert pod["metadata"]["name"].startswith("tasksession-whole-life-")
    token = scene.admin.with_token(own.token())
    assert token.get(scene.core("configmaps", "kube-root-ca.crt"))["data"]
    scene.operator.patch(scene.batch("jobs", "whole-life"), {"spec": {"activeDeadlineSeconds": 1}})
    for name in (own.identity.name, f"{own.identity.name}-0"):
        scene.operator.delete(scene.rbac("rolebindings", name))
    scene.operator.delete(scene.batch("jobs", own.identity.name))
    scene.admin.wait(
        lambda api: api.find(scene.core("serviceaccounts", own.identity.name)) is None, what="the identity to be gone"
    )


def test_nobody_impersonates_the_operator(scene: Scene, live: LiveSession) -> None:
    """Even an administrator who acts as the operator's user is refused: it takes the operator's own token."""
    impostor = scene.admin.as_service_account("tasksession-system", "tasksession-operator")
    words = refused(impostor.patch, scene.batch("jobs", "deploy-1"), {"spec": {"activeDeadlineSeconds": 1}})
    assert "the operator acts only with its own token" in words


def child(live: LiveSession, kind: str) -> Object:
    """Return a child as the operator would make it, under a name of its own."""
    identity = names.Identity(live.identity.uid, live.identity.deadline - 1)
    uid = "00000000-0000-0000-0000-000000000000"
    if kind == "serviceaccounts":
        made = manifests.service_account(live.session, identity, uid)
    else:
        view = RoleReference(kind="ClusterRole", name="view")
        made = manifests.role_binding(live.session, identity, uid, f"{identity.name}-1", view)
    return copy.deepcopy(made)


CHILDREN: list[Any] = [
    ("serviceaccounts", {"metadata": {"name": "default-2"}}, "it is not named like a session"),
    ("serviceaccounts", {"metadata": {"finalizers": ["example.com/x"]}}, "no finalizers and no annotations"),
    (
        "serviceaccounts",
        {"metadata": {"annotations": {"cloud.example.com/role": "x"}}},
        "no finalizers and no annotations",
    ),
    ("serviceaccounts", {"metadata": {"ownerReferences": []}}, "its one owner must be the timer"),
    ("serviceaccounts", {"automountServiceAccountToken": True}, "mounts nothing by itself"),
    ("rolebindings", {"metadata": {"name": "mine"}}, "ValidatingAdmissionPolicy"),
    (
        "rolebindings",
        {"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}]},
        "one subject",
    ),
]


@pytest.mark.parametrize(("kind", "change", "words"), CHILDREN)
def test_children_are_session_shaped(scene: Scene, live: LiveSession, kind: str, change: Object, words: str) -> None:
    """The operator's ServiceAccounts and RoleBindings are refused as soon as they are not a session's."""
    body = child(live, kind)
    for key, value in change.items():
        body[key] = {**body[key], **value} if isinstance(value, dict) and key == "metadata" else value
    path = scene.core(kind) if kind == "serviceaccounts" else scene.rbac(kind)
    assert words in refused(scene.operator.create, path, body)


def test_the_binding_without_a_number_is_that_of_the_inline_rules(scene: Scene, live: LiveSession) -> None:
    """The RoleBinding that has the identity's very name binds the Role of that name, never another role."""
    body = child(live, "rolebindings")
    body["metadata"]["name"] = body["subjects"][0]["name"]
    assert "binds the session's own Role" in refused(scene.operator.create, scene.rbac("rolebindings"), body)


def test_identities_end_within_a_day(scene: Scene, live: LiveSession) -> None:
    """An identity whose deadline is further ahead than 24 hours is refused."""
    late = names.Identity(live.identity.uid, int((datetime.now(UTC) + timedelta(hours=25)).timestamp()))
    body = manifests.service_account(live.session, late, "00000000-0000-0000-0000-000000000000")
    assert "at most 24 hours ahead" in refused(scene.operator.create, scene.core("serviceaccounts"), body)


TIMERS: list[Any] = [
    ({"parallelism": 1}, "a timer has no pods"),
    ({"ttlSecondsAfterFinished": 60}, "removes itself"),
    ({"suspend": True}, "a timer has no pods"),
    ({"activeDeadlineSeconds": 4000}, "a timer ends at its session's deadline"),
]


@pytest.mark.parametrize(("change", "words"), TIMERS)
def test_timers_are_timers(scene: Scene, live: LiveSession, change: Object, words: str) -> None:
    """A Job named like a session that runs pods, stays, waits or ends late is refused."""
    now = datetime.now(UTC)
    identity = names.Identity(live.identity.uid, int((now + timedelta(minutes=4)).timestamp()))
    body = manifests.timer(live.session, ObservedJob.from_object(live.job), identity, now)
    body["spec"] = {**body["spec"], **change}
    assert words in refused(scene.operator.create, scene.batch("jobs"), body)


def test_jobs_of_a_template_are_suspended_marked_and_owned(scene: Scene, live: LiveSession) -> None:
    """The operator cannot run a Job of its own making: not ordinary ones, nor in excluded namespaces."""
    body = manifests.job(live.session)
    plain = {"metadata": {"name": "plain"}, "spec": {"template": {"spec": POD_SPEC}}}
    assert "tasksession-operator-jobs" in refused(scene.operator.create, scene.batch("jobs"), plain)
    stranger = copy.deepcopy(body)
    stranger["metadata"]["name"] = "another"
    assert "suspended Jobs of TaskSessions" in refused(scene.operator.create, scene.batch("jobs"), stranger)
    elsewhere = copy.deepcopy(body)
    elsewhere["metadata"]["namespace"] = "kube-system"
    words = refused(scene.operator.create, "/apis/batch/v1/namespaces/kube-system/jobs", elsewhere)
    assert "no session may be in namespace kube-system" in words


PRIVILEGED: list[Any] = [
    ({"hostNetwork": True}, "hostNetwork"),
    ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "hostPath"),
    ({"containers": [{"name": "c", "image": "c", "securityContext": {"privileged": True}}]}, "privileged"),
    ({"containers": [{"name": "c", "image": "c", "ports": [{"containerPort": 1, "hostPort": 1}]}]}, "hostPort"),
    (
        {"containers": [{"name": "c", "image": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
        "capabilities",
    ),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "Unconfined"),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "sysctls"),
    ({"securityContext": {"seLinuxOptions": {"user": "root"}}}, "seLinuxOptions"),
]


@pytest.mark.parametrize(("pod", "words"), PRIVILEGED)
def test_jobs_of_a_template_meet_baseline_pod_security(
    scene: Scene, live: LiveSession, pod: Object, words: str
) -> None:
    """What the baseline Pod Security Standard forbids is refused when the operator creates the Job."""
    body = copy.deepcopy(manifests.job(live.session))
    body["metadata"]["name"] = "privileged"
    body["metadata"]["annotations"][names.SESSION_ANNOTATION] = "privileged"
    body["metadata"]["ownerReferences"][0]["name"] = "privileged"
    body["spec"]["template"]["spec"] = {**body["spec"]["template"]["spec"], **pod}
    found = refused(scene.operator.create, scene.batch("jobs"), body)
    assert "baseline Pod Security Standard" in found
    assert words in found


def test_only_marked_jobs_are_edited_and_only_to_release_or_stop_them(scene: Scene, live: LiveSession) -> None:
    """The operator cannot edit other people's Jobs, nor anything of a session's Job but what release and stop need."""
    scene.bob.create(
        scene.batch("jobs"), {"metadata": {"name": "bobs"}, "spec": {"suspend": True, "template": {"spec": POD_SPEC}}}
    )
    assert "it takes part in no session" in refused(
        scene.operator.patch, scene.batch("jobs", "bobs"), {"spec": {"suspend": False}}
    )
    assert "it did not create it" in refused(scene.operator.delete, scene.batch("jobs", "bobs"))
    for change in ({"parallelism": 5}, {"suspend": True}, {"ttlSecondsAfterFinished": 1}):
        words = refused(scene.operator.patch, scene.batch("jobs", "deploy-1"), {"spec": change})
        assert "changes nothing else" in words, change
    finalizers = {"metadata": {"finalizers": ["example.com/x"]}}
    assert "changes nothing else" in refused(scene.operator.patch, scene.batch("jobs", "deploy-1"), finalizers)


def test_a_job_is_released_only_with_its_own_identity(scene: Scene, live: LiveSession) -> None:
    """The identity of another session's Job is refused at release."""
    session = scene.alice.create(scene.sessions(), session_manifest("deploy-2"))
    scene.operator.create(scene.batch("jobs"), manifests.job(TaskSession.model_validate(session)))
    words = refused(scene.operator.patch, scene.batch("jobs", "deploy-2"), release(live.identity))
    assert "the identity that carries its own uid" in words


def test_the_operator_writes_nothing_else(scene: Scene, live: LiveSession) -> None:
    """Its ceiling and its RBAC notwithstanding, other kinds are refused, by RBAC or by the guard."""
    operator = scene.operator
    assert "forbidden" in refused(operator.create, scene.core("configmaps"), {"metadata": {"name": "x"}})
    lease = {"metadata": {"name": "other"}, "spec": {}}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{scene.namespace}/leases"
    assert "forbidden" in refused(operator.create, path, lease)
    words = refused(operator.delete, scene.sessions("deploy-1"))
    assert "only finished TaskSessions" in words
    assert "forbidden" in refused(operator.create, scene.sessions(), session_manifest("own"))
    assert "forbidden" in refused(operator.patch, scene.sessions("deploy-1"), {"spec": {"revoked": True}})
    token = scene.core("serviceaccounts", live.identity.name, "token")
    assert "forbidden" in refused(operator.create, token, {"spec": {}})
