"""A TaskSession that somebody holds in its deletion, and what holders of `edit` learn and label: no rights stay.

An object with a finalizer that names another one as its owner holds that in foreground deletion for as long as its
author likes. It takes no more than a ConfigMap and the other's uid.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import ApiError, Cluster
from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess, operator_kubeconfig
from tests.cluster.waiting import wait_for
from tests.support.world import World

_LABELS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/tasksession-reserved-labels"


@contextmanager
def held(world: World, name: str) -> Iterator[None]:
    """Have an object of Jane's hold a TaskSession, and delete that in the foreground; lets go of it at the end."""
    owner = {"apiVersion": "tasksession.dev/v1alpha1", "kind": "TaskSession", "name": name, "blockOwnerDeletion": True}
    anchor: Object = {
        "metadata": {
            "name": f"anchor-{name}",
            "finalizers": ["example.com/held"],
            "ownerReferences": [{**owner, "uid": world.session(name)["metadata"]["uid"]}],
        }
    }
    path = f"/api/v1/namespaces/{world.namespace}/configmaps"
    world.jane.create(path, anchor)
    world.jane.delete(f"{world.sessions}/{name}", propagation="Foreground")
    assert "deletionTimestamp" in world.session(name)["metadata"]
    try:
        yield
    finally:
        world.jane.patch(f"{path}/anchor-{name}", {"metadata": {"finalizers": None}})


@pytest.fixture
def other(operator_cluster: Cluster, world: World) -> Iterator[World]:
    """Return a second namespace, where Jane may use the first one's policy, of which one session may be active."""
    made = World(operator_cluster)
    own = made.policy
    world.set_policy(namespaces={"names": [world.namespace, made.namespace]}, limits={"active": 1})
    made.policy = world.policy
    made.let_use()
    yield made
    made.policy = own
    made.close()


def test_a_session_held_in_deletion_ends_and_makes_room(world: World, other: World, tmp_path: Path) -> None:
    """Rights, status, record and limits end at once, though the object stays: a session elsewhere takes its place."""
    process = OperatorProcess(
        kubeconfig=operator_kubeconfig(world.admin, tmp_path / "kubeconfig"),
        folder=tmp_path,
        namespaces=[world.namespace, other.namespace],
    )
    with process:
        world.request("one")
        identity = world.wait_state("one", "Active")["serviceAccountName"]
        other.request("two")
        other.wait_reason("two", "LimitReached")
        with held(world, "one"):
            assert world.wait_state("one", "Revoked", timeout=10)["endReason"] == "SessionDeleted"
            assert not world.has_rights(identity)
            other.wait_state("two", "Active", timeout=10)
            assert "finalizers" in world.session("one")["metadata"]
            [record] = process.lines("session ended")
            assert (record["session"], record["state"], record["end_reason"]) == ("one", "Revoked", "SessionDeleted")
            assert len(record["grants"]) == 1
            wait_for(lambda: _told(world, "one", "SessionDeleted"), timeout=10, what="the Event")
            wait_for(lambda: not world.all_children(), timeout=10, what="its children to be gone")
        wait_for(lambda: world.admin.find(f"{world.sessions}/one") is None, timeout=10, what="the object to go")
        assert len(process.lines("session ended")) == 1


def test_a_waiting_session_held_in_deletion_is_never_granted(world: World, operator: OperatorProcess) -> None:
    """It waited for its Job; when that comes, there is nothing to join any more."""
    world.request("bundle", task={"job": {"name": "work"}})
    world.wait_reason("bundle", "JobNotFound")
    with held(world, "bundle"):
        assert world.wait_state("bundle", "Revoked", timeout=10)["endReason"] == "SessionDeleted"
        marks = {"tasksession.dev/session": "bundle"}
        job = {"metadata": {"name": "work", "annotations": marks}, "spec": world.job_spec()}
        world.jane.create(world.path("Job"), job)
        world.request("after")
        world.wait_state("after", "Active")
        assert world.admin.get(world.path("Job", "work"))["spec"]["suspend"] is True


def test_the_uids_of_the_rights_are_nowhere_to_be_read(world: World, operator: OperatorProcess) -> None:
    """A holder of `edit` reads all that they may, the operator's log as well: no uid of a RoleBinding or Role."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get"]}]
    access = {"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": rules}
    world.request("ended", access=access)
    world.request("active", access=access)
    secret = {}
    for name in ("ended", "active"):
        identity = world.wait_state(name, "Active")["serviceAccountName"]
        for kind, child in (("RoleBinding", identity), ("RoleBinding", f"{identity}-0"), ("Role", identity)):
            secret[kind, child] = str(world.admin.get(world.path(kind, child))["metadata"]["uid"])
    account = world.admin.get(world.path("ServiceAccount", identity))["metadata"]["uid"]
    world.revoke("ended")
    world.wait_state("ended", "Revoked")
    wait_for(lambda: _told(world, "ended", "Revoked"), timeout=10, what="the Event")
    with pytest.raises(ApiError):
        world.jane.list(world.path("RoleBinding"))
    read = "".join(_all_that_may_be_read(world)) + operator.log.read_text()
    assert account in read
    assert {child: uid for child, uid in secret.items() if uid in read} == {}


def _all_that_may_be_read(world: World) -> Iterator[str]:
    """List every kind of object of the namespace, as Jane."""
    groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in world.admin.get("/apis")["groups"]]
    for root in ("/api/v1", *groups):
        for resource in world.admin.get(root)["resources"]:
            if resource["namespaced"] and "list" in resource["verbs"]:
                try:
                    yield json.dumps(world.jane.get(f"{root}/namespaces/{world.namespace}/{resource['name']}"))
                except ApiError as error:
                    assert error.status == 403, error


def test_a_stranger_with_a_sessions_labels_keeps_no_session_from_ending(
    world: World, operator: OperatorProcess
) -> None:
    """What is not named like a session's object is not the operator's to end, whatever its labels say."""
    world.request("bundle", task={"job": {"name": "work"}})
    world.wait_reason("bundle", "JobNotFound")
    labels = {
        "app.kubernetes.io/managed-by": "tasksession",
        "tasksession.dev/session": "bundle",
        "tasksession.dev/session-uid": world.session("bundle")["metadata"]["uid"],
    }
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding: Object = {"metadata": {"name": "foo", "labels": labels}, "roleRef": role, "subjects": []}
    # A guard may reserve the labels; an object that bears them from before it was installed is as good.
    guards = ["reserved-labels"] if world.admin.find(_LABELS) else []
    with world.without_guards("reserved-names", *guards):
        wait_for(
            lambda: world.admin.create(world.path("RoleBinding"), binding),
            timeout=10, what="the stranger", ignoring=(ApiError,),
        )  # fmt: skip
    world.revoke("bundle")
    assert world.wait_state("bundle", "Revoked", timeout=10)["endReason"] == "Revoked"
    world.jane.delete(f"{world.sessions}/bundle")
    wait_for(lambda: world.admin.find(f"{world.sessions}/bundle") is None, timeout=10, what="the session to go")
    assert world.exists("RoleBinding", "foo")
    assert operator.lines("a session is tried again") == []


def _told(world: World, name: str, reason: str) -> bool:
    events = world.admin.list(world.path("Event"))
    return any(event["involvedObject"]["name"] == name and event["reason"] == reason for event in events)
