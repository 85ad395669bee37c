"""TaskSessions of annotated Jobs and rights of joined ones: what the operator may make for them, and nobody else."""

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
from tests.support.scene import ASKS, Scene, job_manifest, refused, release, session_manifest

NOBODY = "00000000-0000-0000-0000-000000000000"
VIEW = RoleReference(kind="ClusterRole", name="view")


@pytest.fixture(scope="module")
def job(scene: Scene) -> Object:
    """Return alice's annotated Job, suspended and stamped."""
    return scene.alice.create(scene.batch("jobs"), job_manifest("annotated", annotations=ASKS))


def session_of(job: Object) -> Object:
    """Return the TaskSession that the operator creates for an annotated Job."""
    name, stamp = job["metadata"]["name"], job["metadata"]["annotations"]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TaskSession",
        "metadata": {
            "name": name,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
            "ownerReferences": [manifests.owner_reference("batch/v1", "Job", name, job["metadata"]["uid"])],
        },
        "spec": {
            "policy": "deploy",
            "ttl": "5m",
            "task": {"job": {"name": name}},
            "requester": {
                "username": stamp[names.REQUESTED_BY_ANNOTATION],
                "uid": stamp[names.REQUESTED_BY_UID_ANNOTATION],
                "groups": stamp[names.REQUESTED_BY_GROUPS_ANNOTATION].split("\n"),
            },
        },
    }


def changed(body: Object, **parts: Object) -> Object:
    """Return a copy with fields of `metadata` or `spec` replaced; None takes a field away."""
    made = copy.deepcopy(body)
    for part, fields in parts.items():
        made[part] = {key: value for key, value in {**made[part], **fields}.items() if value is not None}
    return made


def test_the_operator_copies_a_jobs_stamp(scene: Scene, job: Object) -> None:
    """The TaskSession of an annotated Job is the operator's to create and keeps the Job's requester."""
    wanted = session_of(job)
    made = scene.operator.create(scene.sessions(), wanted, dryRun="All")
    assert made["spec"]["requester"] == {
        "username": "alice",
        "uid": "uid-alice",
        "groups": ["people", "system:authenticated"],
    }
    explained = changed(wanted, metadata={"annotations": {"tasksession.dev/problem": "access is no YAML"}})
    assert scene.operator.create(scene.sessions(), explained, dryRun="All")["metadata"]["annotations"]


def owners(job: Object, **change: object) -> list[Object]:
    """Return the owner references of the Job's TaskSession, changed."""
    reference = manifests.owner_reference("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["uid"])
    return [{key: value for key, value in {**reference, **change}.items() if value is not None}]


ELSE: list[Any] = [
    ({"name": "another"}, {}, "owned by that Job and named like it"),
    ({}, {"task": {"job": {"name": "another"}}}, "owned by that Job and named like it"),
    ({}, {"task": {"external": {}}}, "owned by that Job and named like it"),
    ({}, {"revoked": True}, "what the Job's annotations say"),
    ({}, {"ttlSecondsAfterFinished": 60}, "what the Job's annotations say"),
    ({}, {"notAfter": "2030-01-01T00:00:00Z"}, "what the Job's annotations say"),
    ({}, {"token": {}}, "what the Job's annotations say"),
    ({"labels": None}, {}, "has the labels of a session"),
    ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, {}, "has the labels of a session"),
    ({"labels": {"app.kubernetes.io/managed-by": "tasksession", "a": "b"}}, {}, "has the labels of a session"),
    ({"annotations": {"a": "b"}}, {}, "none but tasksession.dev/ annotations"),
    ({"finalizers": ["example.com/x"]}, {}, "no finalizers"),
    ({}, {"requester": {"username": "system:serviceaccount:tasksession-system:tasksession-operator"}}, "nor the"),
    ({}, {"requester": {"username": f"system:serviceaccount:x:ts-{NOBODY}-2000000000"}}, "never a session"),
    ({}, {"requester": {"username": ""}}, ""),
    ({}, {"requester": None}, ""),
]


@pytest.mark.parametrize(("metadata", "spec", "words"), ELSE)
def test_the_operator_asks_for_no_other_session(
    scene: Scene, job: Object, metadata: Object, spec: Object, words: str
) -> None:
    """Names, tasks, fields and requesters that an annotated Job cannot have asked for are refused to the operator."""
    assert words in refused(
        scene.operator.create, scene.sessions(), changed(session_of(job), metadata=metadata, spec=spec), dryRun="All"
    )


OWNERS: list[Any] = [
    {"apiVersion": "example.com/v1"},
    {"kind": "CronJob"},
    {"name": "another"},
    {"controller": None},
    {"blockOwnerDeletion": None},
]


@pytest.mark.parametrize("change", OWNERS)
def test_the_session_of_a_job_goes_with_the_job(scene: Scene, job: Object, change: Object) -> None:
    """A TaskSession of the operator's that would survive the Job, or has a second owner, is refused."""
    body = changed(session_of(job), metadata={"ownerReferences": owners(job, **change)})
    assert "ValidatingAdmissionPolicy" in refused(scene.operator.create, scene.sessions(), body, dryRun="All")


def test_a_second_owner_is_refused(scene: Scene, job: Object) -> None:
    """Beside the Job nothing else owns its TaskSession."""
    second = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": NOBODY}
    body = changed(session_of(job), metadata={"ownerReferences": [*owners(job), second]})
    assert "ValidatingAdmissionPolicy" in refused(scene.operator.create, scene.sessions(), body, dryRun="All")


def test_the_operator_asks_for_nothing_of_its_own(scene: Scene, job: Object) -> None:
    """Without an owner, with a jobTemplate, or in an excluded namespace, the operator creates no TaskSession."""
    own = session_manifest("own", requester={"username": "alice"})
    # Two guards refuse, and either may be named.
    words = refused(scene.operator.create, scene.sessions(), own, dryRun="All")
    assert "owned by that Job" in words or "may not use SessionPolicy deploy" in words
    path = f"/apis/{names.API_VERSION}/namespaces/kube-system/tasksessions"
    assert "no session may be in namespace kube-system" in refused(
        scene.operator.create, path, session_of(job), dryRun="All"
    )


def test_nobody_else_makes_the_session_of_a_job(scene: Scene, job: Object) -> None:
    """Neither requester nor administrator creates it, nor gets a copied requester through; bob asks as bob."""
    for person in (scene.alice, scene.admin):
        assert "only the operator creates the TaskSession of a Job" in refused(
            person.create, scene.sessions(), session_of(job), dryRun="All"
        )
    loose = changed(session_of(job), metadata={"ownerReferences": None})
    assert "may not use SessionPolicy" in refused(scene.bob.create, scene.sessions(), loose, dryRun="All")
    made = scene.admin.create(scene.sessions(), loose, dryRun="All")
    assert made["spec"]["requester"]["username"] != "alice"


def test_the_operators_annotations_on_a_session_are_its_own(scene: Scene) -> None:
    """Nobody writes tasksession.dev/ annotations on a TaskSession, when it is created or later."""
    noted = session_manifest("noted")
    noted["metadata"]["annotations"] = {"tasksession.dev/problem": "none"}
    assert "leave them out of the TaskSession" in refused(scene.alice.create, scene.sessions(), noted)
    scene.alice.create(scene.sessions(), session_manifest("noted"))
    late = {"metadata": {"annotations": {"tasksession.dev/problem": "none"}}}
    assert "never change" in refused(scene.alice.patch, scene.sessions("noted"), late)
    scene.alice.patch(scene.sessions("noted"), {"metadata": {"annotations": {"a": "b"}}})


def test_an_annotated_job_lives_and_ends(scene: Scene) -> None:
    """Job, TaskSession, timer, identity and rights pass as one chain; the Job's deletion takes all of it."""
    job = scene.alice.create(scene.batch("jobs"), job_manifest("chain", annotations=ASKS))
    session = TaskSession.model_validate(scene.operator.create(scene.sessions(), session_of(job)))
    now = datetime.now(UTC)
    identity = names.Identity(job["metadata"]["uid"], int((now + timedelta(minutes=5)).timestamp()))
    timer = manifests.timer(session, ObservedJob.from_object(job), identity, now)
    timer["metadata"]["ownerReferences"] = [
        manifests.owner_reference(names.API_VERSION, "TaskSession", "chain", session.metadata.uid)
    ]
    timer_uid = scene.operator.create(scene.batch("jobs"), timer)["metadata"]["uid"]
    scene.operator.create(scene.core("serviceaccounts"), manifests.service_account(session, identity, timer_uid))
    binding = manifests.role_binding(session, identity, timer_uid, f"{identity.name}-0", VIEW)
    scene.operator.create(scene.rbac("rolebindings"), binding)
    scene.operator.patch(scene.batch("jobs", "chain"), release(identity))
    scene.operator.patch(scene.batch("jobs", "chain"), {"spec": {"activeDeadlineSeconds": 1}})
    assert "it did not create it" in refused(scene.operator.delete, scene.batch("jobs", "chain"))


@pytest.fixture(scope="module")
def joined(scene: Scene) -> tuple[TaskSession, Object]:
    """Return alice's TaskSession and the Job that joins it."""
    task = {"job": {"name": "joined"}}
    session = TaskSession.model_validate(
        scene.alice.create(scene.sessions(), session_manifest("joined-session", task=task))
    )
    annotations = {names.SESSION_ANNOTATION: "joined-session"}
    return session, scene.alice.create(scene.batch("jobs"), job_manifest("joined", annotations=annotations))


def identity_for(job: Object) -> tuple[names.Identity, datetime]:
    """Return an identity of five minutes for a Job, and now."""
    now = datetime.now(UTC)
    return names.Identity(job["metadata"]["uid"], int((now + timedelta(minutes=5)).timestamp())), now


def test_a_joined_sessions_children_hang_on_its_timer(scene: Scene, joined: tuple[TaskSession, Object]) -> None:
    """No child may be the TaskSession's own: it would outlive the deadline with the operator dead."""
    session, job = joined
    identity, _ = identity_for(job)
    binding = manifests.role_binding(session, identity, NOBODY, f"{identity.name}-0", VIEW)
    scene.operator.create(scene.rbac("rolebindings"), binding, dryRun="All")
    account = manifests.service_account(session, identity, NOBODY)
    own = manifests.owner_reference(names.API_VERSION, "TaskSession", "joined-session", session.metadata.uid)
    for collection, child in ((scene.rbac("rolebindings"), binding), (scene.core("serviceaccounts"), account)):
        child["metadata"]["ownerReferences"] = [own]
        assert "one owner" in refused(scene.operator.create, collection, child, dryRun="All")


def test_a_timer_is_owned_by_its_own_job_or_session(scene: Scene, joined: tuple[TaskSession, Object]) -> None:
    """An owning Job has the uid in the timer's name, an owning TaskSession that in the timer's labels; nothing else."""
    session, job = joined
    identity, now = identity_for(job)
    timer = manifests.timer(session, ObservedJob.from_object(job), identity, now)
    scene.operator.create(scene.batch("jobs"), timer, dryRun="All")
    own = manifests.owner_reference("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["uid"])
    ours = manifests.owner_reference(names.API_VERSION, "TaskSession", "joined-session", session.metadata.uid)
    assert timer["metadata"]["ownerReferences"] == [ours]
    timer["metadata"]["ownerReferences"] = [own]
    scene.operator.create(scene.batch("jobs"), timer, dryRun="All")
    for owner in ({**own, "uid": NOBODY}, {**own, "apiVersion": "example.com/v1"}, {**ours, "uid": NOBODY}):
        timer["metadata"]["ownerReferences"] = [owner]
        assert "a timer is owned by" in refused(scene.operator.create, scene.batch("jobs"), timer, dryRun="All"), owner


def test_a_release_carries_the_jobs_identity_and_keeps_it(scene: Scene) -> None:
    """No release without an identity, none with another deadline afterwards, and never a longer run."""
    job = scene.alice.create(scene.batch("jobs"), job_manifest("released", annotations=ASKS))
    path = scene.batch("jobs", "released")
    identity, _ = identity_for(job)
    bare = {"spec": {"suspend": False, "activeDeadlineSeconds": 300}}
    assert "the identity that carries its own uid" in refused(scene.operator.patch, path, bare)
    scene.operator.patch(path, release(identity))
    later = names.Identity(identity.uid, identity.deadline + 1)
    assert "immutable" in refused(scene.operator.patch, path, release(later))
    for seconds in (301, None):
        longer = {"spec": {"activeDeadlineSeconds": seconds}}
        assert "tasksession-operator-job-update" in refused(scene.operator.patch, path, longer)
    scene.operator.patch(path, {"spec": {"activeDeadlineSeconds": 1}})


def test_the_operator_deletes_only_jobs_it_created(scene: Scene, joined: tuple[TaskSession, Object]) -> None:
    """A Job that joined a session is its author's: the operator stops it, and cannot delete it."""
    assert "it did not create it" in refused(scene.operator.delete, scene.batch("jobs", "joined"))
