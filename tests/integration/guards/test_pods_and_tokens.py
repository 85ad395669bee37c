"""A session's pods and tokens: for the session's own Job and the kubelet, until the deadline, and for nobody else."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasksession.api import names
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.observed import ObservedJob
from tests.cluster import wait_for
from tests.cluster.api import Object
from tests.support.scene import POD_SPEC, LiveSession, Scene, refused, session_manifest


@pytest.fixture(scope="module")
def pod(live: LiveSession) -> str:
    """Return the name of the session's pod, bound to the node: an unbound one is deleted without any grace."""
    live.token()
    name: str = live.pod()["metadata"]["name"]
    return name


def riding(live: LiveSession, **metadata: Any) -> Object:
    """Return a pod that claims the session's identity."""
    return {
        "metadata": {"generateName": "tasksession-rider-", **metadata},
        "spec": {**POD_SPEC, "serviceAccountName": live.identity.name},
    }


def test_nobody_starts_a_pod_as_the_session(scene: Scene, live: LiveSession) -> None:
    """By name, by annotation, with a forged owner, or through a Job of one's own: refused."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "deploy-1", "uid": live.identity.uid, "controller": True}
    only = "only the Job controller does"
    assert only in refused(scene.bob.create, scene.core("pods"), riding(live))
    assert only in refused(scene.bob.create, scene.core("pods"), riding(live, ownerReferences=[owner]))
    annotated = {
        "metadata": {"name": "rider", "annotations": {names.SERVICE_ACCOUNT_ANNOTATION: live.identity.name}},
        "spec": POD_SPEC,
    }
    assert only in refused(scene.bob.create, scene.core("pods"), annotated)


def test_another_job_gets_no_pod_of_the_session(scene: Scene, live: LiveSession) -> None:
    """The Job controller's pod of a Job that names the session's ServiceAccount is refused."""
    body = {
        "metadata": {"name": "rider"},
        "spec": {"template": {"spec": {**POD_SPEC, "serviceAccountName": live.identity.name}}},
    }
    scene.bob.create(scene.batch("jobs"), body)

    def failed() -> list[str]:
        events = scene.admin.list(scene.core("events"), fieldSelector="involvedObject.name=rider,reason=FailedCreate")
        return [event["message"] for event in events]

    messages = wait_for(failed, timeout=20, what="the Job controller to be refused")
    assert "not the one its Job was released with" in messages[0] or "not of the session's own Job" in messages[0]


POD_EDITS: list[Any] = [
    ("", {"spec": {"containers": [{"name": "task", "image": "evil"}]}}),
    ("", {"spec": {"activeDeadlineSeconds": 5}}),
    ("", {"metadata": {"labels": {"batch.kubernetes.io/controller-uid": None}}}),
    ("", {"metadata": {"ownerReferences": None}}),
    ("", {"metadata": {"finalizers": ["batch.kubernetes.io/job-tracking", "example.com/hold"]}}),
    ("/ephemeralcontainers", {"spec": {"ephemeralContainers": [{"name": "debug", "image": "evil"}]}}),
]


@pytest.mark.parametrize(("subresource", "change"), POD_EDITS)
def test_nobody_edits_the_sessions_pod(scene: Scene, pod: str, subresource: str, change: Object) -> None:
    """Image, deadline, labels, owner, finalizers and ephemeral containers are refused, to administrators too."""
    path = scene.core("pods", pod) + subresource
    kind = "application/strategic-merge-patch+json"
    words = refused(scene.admin.patch, path, change, content_type=kind)
    assert "tasksession-pod-edit" in words


def test_annotations_of_others_on_the_pod_stay_free(scene: Scene, pod: str) -> None:
    """Tools that annotate pods are not disturbed."""
    scene.bob.patch(scene.core("pods", pod), {"metadata": {"annotations": {"a": "b"}}})


def test_the_pod_has_little_grace(scene: Scene, pod: str) -> None:
    """Deleting or evicting it with a day of grace is refused; with an ordinary one it is not."""
    path = scene.core("pods", pod)
    words = refused(scene.bob.request, "DELETE", path, body={"gracePeriodSeconds": 86400})
    assert "60 seconds or less" in words
    eviction: Object = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    slow = {**eviction, "deleteOptions": {"gracePeriodSeconds": 86400}}
    assert "60 seconds or less" in refused(scene.admin.create, path + "/eviction", slow)
    scene.admin.create(path + "/eviction", {**eviction, "deleteOptions": {"gracePeriodSeconds": 30}}, dryRun="All")
    scene.bob.request("DELETE", path, body={"gracePeriodSeconds": 30, "dryRun": ["All"]})


@pytest.mark.parametrize("way", ["exec", "attach", "portforward", "proxy"])
def test_nobody_enters_the_pod(scene: Scene, pod: str, way: str) -> None:
    """bob's `edit` allows exec in the namespace, but not into a session's pod."""
    query = {"command": "sh"} if way == "exec" else {}
    words = refused(scene.bob.create, scene.core("pods", pod, way), {}, **query)
    assert "bob may not enter pods of a session" in words


def test_the_proxys_other_names_of_the_pod_are_no_way_around(scene: Scene, pod: str) -> None:
    """The proxy also takes http:NAME:PORT and https:NAME:PORT."""
    for scheme in ("http", "https"):
        words = refused(scene.admin.as_user("bob").get, scene.core("pods", f"{scheme}:{pod}:80", "proxy"))
        assert "bob may not enter pods of a session" in words


def test_no_pod_bears_the_timers_label(scene: Scene) -> None:
    """A pod with it would be adopted by a timer and hold it open."""
    body = {"metadata": {"name": "held", "labels": {"tasksession.dev/timer": "x"}}, "spec": POD_SPEC}
    assert "reserved for timers" in refused(scene.bob.create, scene.core("pods"), body)
    scene.bob.create(scene.core("pods"), {"metadata": {"name": "held"}, "spec": POD_SPEC})
    label = {"metadata": {"labels": {"tasksession.dev/timer": "x"}}}
    assert "reserved for timers" in refused(scene.bob.patch, scene.core("pods", "held"), label)


def test_nobody_mints_the_sessions_token(scene: Scene, live: LiveSession) -> None:
    """`edit` may mint tokens of ServiceAccounts, but not of a session's; nor an administrator."""
    path = scene.core("serviceaccounts", live.identity.name, "token")
    assert "bob may not have tokens" in refused(scene.bob.create, path, {"spec": {"expirationSeconds": 600}})
    assert "may not have tokens" in refused(scene.admin.create, path, {"spec": {"expirationSeconds": 600}})
    secret = {"kind": "Secret", "apiVersion": "v1", "name": "other"}
    scene.bob.create(scene.core("secrets"), {"metadata": {"name": "other"}})
    words = refused(scene.admin.create, path, {"spec": {"expirationSeconds": 600, "boundObjectRef": secret}})
    assert "may not have tokens" in words


def test_the_kubelets_token_is_short(scene: Scene, live: LiveSession, pod: str) -> None:
    """The kubelet gets ten minutes, and no year, for the session's pod."""
    uid = scene.admin.get(scene.core("pods", pod))["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
    path = scene.core("serviceaccounts", live.identity.name, "token")
    year: Object = {"expirationSeconds": 31536000, "boundObjectRef": reference}
    assert "ends with it" in refused(scene.kubelet.create, path, {"spec": year})


def test_there_is_no_stored_token(scene: Scene, live: LiveSession) -> None:
    """A Secret that Kubernetes would fill with a never-expiring token is refused, at creation and later."""
    annotations = {"kubernetes.io/service-account.name": live.identity.name}
    body = {"metadata": {"name": "stored", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    assert "no stored token" in refused(scene.bob.create, scene.core("secrets"), body)


def test_after_the_deadline_there_is_neither_token_nor_pod(scene: Scene) -> None:
    """The identity's name holds its deadline: admission refuses by the server's clock, though the identity still is."""
    session = TaskSession.model_validate(scene.alice.create(scene.sessions(), session_manifest("short")))
    job = scene.operator.create(scene.batch("jobs"), manifests.job(session))
    now = datetime.now(UTC)
    identity = names.Identity(job["metadata"]["uid"], int((now + timedelta(seconds=2)).timestamp()))
    timer = manifests.timer(session, ObservedJob.from_object(job), identity, now)
    # As if the timer came late, so that the clock is all that stands in the way.
    timer["spec"]["activeDeadlineSeconds"] = 60
    timer_uid = scene.operator.create(scene.batch("jobs"), timer)["metadata"]["uid"]
    account = manifests.service_account(session, identity, timer_uid)
    scene.operator.create(scene.core("serviceaccounts"), account)
    wait_for(lambda: time.time() > identity.deadline + 1, timeout=5, what="the deadline")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "short", "uid": identity.uid, "controller": True}
    annotations = {names.SERVICE_ACCOUNT_ANNOTATION: identity.name}
    labels = {"batch.kubernetes.io/controller-uid": identity.uid}
    metadata = {"generateName": "short-", "annotations": annotations, "labels": labels, "ownerReferences": [owner]}
    controller = scene.admin.as_service_account("kube-system", "job-controller")
    assert "has ended" in refused(controller.create, scene.core("pods"), {"metadata": metadata, "spec": POD_SPEC})
    token = scene.core("serviceaccounts", identity.name, "token")
    assert "has ended" in refused(scene.admin.create, token, {"spec": {"expirationSeconds": 600}})
