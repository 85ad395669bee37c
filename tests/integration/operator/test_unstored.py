"""Statuses that the API server will not store: nobody could see such a grant, so nothing of it stays.

A policy of somebody else's refuses them here; etcd does so for an object that is too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import World

_ROOT = "/apis/admissionregistration.k8s.io/v1"


@contextmanager
def unstorable(world: World, allowed: str) -> Iterator[None]:
    """Have every status of the namespace's TaskSessions refused for which the CEL expression `allowed` is false."""
    name = f"status-{world.namespace}"
    spec: Object = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "resourceRules": [
                {"apiGroups": ["tasksession.dev"], "apiVersions": ["v1alpha1"], "operations": ["UPDATE"],
                 "resources": ["tasksessions/status"]},
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]},
            ],
        },
        "validations": [
            {"expression": f"request.resource.resource != 'configmaps' && ({allowed})", "message": "not so"}
        ],
    }  # fmt: skip
    world.admin.create(f"{_ROOT}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    world.admin.create(f"{_ROOT}/validatingadmissionpolicybindings", binding)
    path = f"/api/v1/namespaces/{world.namespace}/configmaps"
    probe = {"metadata": {"name": "probe"}}
    try:
        wait_for(
            lambda: world.refusal_of(lambda: world.admin.create(path, probe, dryRun="All")),
            timeout=10, what="the policy to be in force", interval=0.2,
        )  # fmt: skip
        yield
    finally:
        world.admin.delete(f"{_ROOT}/validatingadmissionpolicybindings/{name}")
        world.admin.delete(f"{_ROOT}/validatingadmissionpolicies/{name}")


def test_a_grant_that_cannot_be_recorded_is_taken_back(world: World, operator: OperatorProcess) -> None:
    """The session is denied in the API server's words, and nothing of it is left; it is not tried again and again."""
    with unstorable(world, "object.status.state != 'Active'"):
        world.request("triage")
        assert world.wait_state("triage", "Denied")["endReason"] == "Denied"
    assert "not so" in world.ready("triage")["message"]
    world.wait_nothing_left()
    assert world.admin.get(world.path("Job", "triage"))["spec"]["suspend"] is True
    assert [verb for verb, resource in world.writes() if resource == "rolebindings"] == ["create", "delete"]


def test_an_end_that_cannot_be_recorded_is_one_all_the_same(world: World, operator: OperatorProcess) -> None:
    """Rights go, the place in the limits is free, record and Event say so; the status is tried ever more seldom."""
    world.set_policy(limits={"active": 1})
    world.request("first")
    identity = world.wait_state("first", "Active")["serviceAccountName"]
    with unstorable(world, "object.metadata.name != 'first'"):
        world.revoke("first")
        world.wait_refused(identity)
        world.request("second")
        world.wait_state("second", "Active", timeout=40)
        records = wait_for(lambda: _of_first(operator, "session ended"), timeout=10, what="the record")
        assert [(record["state"], record["end_reason"]) for record in records] == [("Revoked", "Revoked")]
        assert world.status("first")["state"] == "Active"
        wait_for(lambda: _events(world, "first", "Revoked"), timeout=10, what="the Event")
        assert 0 < len(_of_first(operator, "a session is tried again")) < 30
    assert world.wait_state("first", "Revoked", timeout=40)["endReason"] == "Revoked"
    assert len(_of_first(operator, "session ended")) == 1


def _of_first(operator: OperatorProcess, message: str) -> list[Object]:
    return [line for line in operator.lines(message) if line["session"] == "first"]


def _events(world: World, name: str, reason: str) -> list[Object]:
    return [
        event
        for event in world.admin.list(world.path("Event"))
        if event["involvedObject"]["name"] == name and event["reason"] == reason
    ]
