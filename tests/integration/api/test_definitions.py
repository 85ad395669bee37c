"""The definitions themselves: accepted, served, and shown by kubectl as people expect."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tasksession.api import TaskSession
from tasksession.api.conditions import ConditionType, State
from tasksession.api.session import TaskSessionStatus
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import wait_for
from tests.integration.api.conftest import Resources
from tests.integration.api.manifests import (
    EXTERNAL_SESSION,
    SESSION_APPROVAL,
    SESSION_POLICY,
    TASK_SESSION,
    Object,
    spoiled,
)

_PUBLISHED = sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))


@pytest.mark.parametrize("file", _PUBLISHED, ids=lambda file: file.name)
def test_a_published_definition_is_accepted_as_it_stands(admin: Api, file: Path) -> None:
    """The API server takes the file with strict field validation, and drops nothing of it."""
    definition = yaml.safe_load(file.read_text())
    taken = admin.request(
        "PATCH",
        admin.path_of(definition),
        body=json.dumps(definition),
        query={"fieldManager": "tests", "force": "true", "dryRun": "All", "fieldValidation": "Strict"},
        content_type="application/apply-patch+yaml",
    )
    assert taken["spec"]["versions"][0]["schema"] == definition["spec"]["versions"][0]["schema"]


def test_the_definitions_have_no_fault(definitions: list[Object]) -> None:
    """Each definition is established under the names it asks for, and no condition speaks of a fault."""
    for definition in definitions:
        conditions = {each["type"]: (each["status"], each["reason"]) for each in definition["status"]["conditions"]}
        assert conditions == {
            "Established": ("True", "InitialNamesAccepted"),
            "NamesAccepted": ("True", "NoConflicts"),
        }


def test_short_names_clash_with_none_of_kubernetes(admin: Api, resources: Resources) -> None:
    """No short name of ours is taken by Kubernetes itself."""
    groups = [group["preferredVersion"]["groupVersion"] for group in admin.get("/apis")["groups"]]
    theirs = {
        name
        for path in ["/api/v1", *(f"/apis/{group}" for group in groups if "tasksession" not in group)]
        for resource in admin.get(path)["resources"]
        for name in (*resource.get("shortNames", ()), resource["name"], resource["singularName"])
    }
    served = admin.get(f"/apis/{resources.group}/v1alpha1")["resources"]
    ours = {name for resource in served for name in resource.get("shortNames", ())}
    assert ours == {"ts", "tsp", "tsa"}
    assert not ours & theirs
    assert "tasksessions/status" in {resource["name"] for resource in served}


def test_a_fresh_session_is_pending_and_not_current(resources: Resources) -> None:
    """Without any operator a fresh session says that it waits, so that no tool takes it for a finished one."""
    stored = resources.create(EXTERNAL_SESSION, dryRun="All")
    session = TaskSession.model_validate(stored)
    assert session.status.state is State.PENDING
    found = {each.type: each.status for each in session.status.conditions}
    assert found == {
        ConditionType.READY: "Unknown",
        ConditionType.STALLED: "False",
        ConditionType.RECONCILING: "True",
        ConditionType.GRANTED: "False",
    }
    assert session.status.observed_generation is None


def test_the_author_of_a_session_cannot_write_its_status(resources: Resources) -> None:
    """A status in a manifest is ignored, at creation and later: only the subresource writes it."""
    forged = spoiled(EXTERNAL_SESSION, {"metadata.name": "forged", "status": {"state": "Active"}})
    created = resources.create(forged)
    try:
        assert created["status"]["state"] == "Pending"
        again = resources.replace(spoiled(created, {"status": {"state": "Active"}}))
        assert again["status"]["state"] == "Pending"
        by_subresource = resources.admin.patch(f"{resources.path(forged)}/status", {"status": {"state": "Denied"}})
        assert by_subresource["status"]["state"] == "Denied"
    finally:
        resources.admin.delete(resources.path(forged))


def test_a_whole_status_is_kept_and_shown(cluster: Cluster, resources: Resources) -> None:
    """Every field that the model of the status knows is in the schema, under the same name: none is dropped."""
    read = TaskSessionStatus.model_validate(_WHOLE_STATUS)
    status = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert status == _WHOLE_STATUS
    assert read.model_fields_set == set(TaskSessionStatus.model_fields), "the test's status is to have every field"
    manifest = spoiled(EXTERNAL_SESSION, {"metadata.name": "whole"})
    resources.create(manifest)
    try:
        path = f"{resources.path(manifest)}/status"
        stored = resources.admin.patch(path, {"status": status}, fieldValidation="Strict")
        assert stored["status"] == status
        assert _columns(cluster, resources, manifest, "--output=wide") == {
            "NAME": "whole",
            "STATE": "Active",
            "POLICY": "deploy",
            "TASK": "external",
            "REQUESTER": "alice",
            "EXPIRES": "2036-12-01T00:15:00Z",
            "REASON": "Granted",
            "SERVICEACCOUNT": status["serviceAccountName"],
        }
    finally:
        resources.admin.delete(resources.path(manifest))


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (
            SESSION_POLICY,
            {"MAXTTL": "30m", "TASKS": '["Job","External"]', "APPROVALS": "1", "SUSPENDED": "false"},
        ),
        (SESSION_APPROVAL, {"SESSION": "triage", "DECISION": "Approve", "APPROVER": "bob"}),
        (
            TASK_SESSION,
            {"STATE": "Pending", "POLICY": "ticket-triage", "TASK": "", "REQUESTER": "alice", "EXPIRES": ""},
        ),
    ],
    ids=lambda value: value.get("kind", ""),
)
def test_columns_show_the_object(cluster: Cluster, resources: Resources, manifest: Object, expected: Object) -> None:
    """`kubectl get` shows these columns, and each the field that its title names."""
    manifest = spoiled(manifest, {"metadata.name": "shown"})
    resources.create(manifest)
    try:
        assert _columns(cluster, resources, manifest) == {"NAME": "shown", **expected}
    finally:
        resources.admin.delete(resources.path(manifest))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("tasksession", "gives one task an identity of its own"),
        ("tasksession.spec", "can only turn true"),
        ("tasksession.spec.ttl", "such as 90s, 15m or 1h30m"),
        ("tasksession.spec.task", "exactly one of jobTemplate, job and external"),
        ("tasksession.spec.task.jobTemplate", "CronJob's jobTemplate"),
        ("tasksession.spec.access.rules.resourceNames", "absent means all of them"),
        ("tasksession.spec.requester", "Stamped by admission"),
        ("tasksession.status.conditions", "Granted alone says whether access is live now"),
        ("sessionpolicy.spec.access", "The ceiling"),
        ("sessionpolicy.spec.conditions.expression", "Anything but true denies"),
        ("sessionpolicy.spec.maxTTL", "The longest ttl"),
        ("sessionapproval.spec.sessionRef", "by name and uid"),
    ],
)
def test_kubectl_explains_it(cluster: Cluster, resources: Resources, field: str, words: str) -> None:
    """`kubectl explain` finds the field and says in words what it is for."""
    command = ["explain", field, "--api-version", f"{resources.group}/v1alpha1"]

    def explained() -> str:
        # A schema is published a few seconds after its definition is established.
        text = " ".join(_kubectl(cluster, *command).split())
        return text if words in text else ""

    ignored = (subprocess.CalledProcessError,)
    assert wait_for(explained, timeout=30, interval=0.5, what=f"kubectl to explain {field}", ignoring=ignored)


def _kubectl(cluster: Cluster, *arguments: str) -> str:
    command = [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def _columns(cluster: Cluster, resources: Resources, manifest: Object, *arguments: str) -> dict[str, str]:
    """Return an object's row in `kubectl get` by the column's title, but for its age and what is empty."""
    plural = resources.collection(manifest["kind"]).rpartition("/")[2]
    name: str = manifest["metadata"]["name"]
    table = _kubectl(
        cluster, "get", f"{plural}.{resources.group}", name, "--namespace", resources.namespace, *arguments
    )
    header, row = table.splitlines()
    titles = list(re.finditer(r"\S+\s*", header))
    cells = {title.group().strip(): row[title.start() : title.end()].strip() for title in titles[:-1]}
    assert titles[-1].group().strip() == "AGE"
    return cells


_IDENTITY = "ts-0b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11-2111701700"
_MOMENT = "2036-12-01T00:00:00Z"
_WHOLE_STATUS: Object = {
    "observedGeneration": 1,
    "state": "Active",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Granted",
            "message": "Access is live.",
            "observedGeneration": 1,
            "lastTransitionTime": _MOMENT,
        }
    ],
    "task": "external",
    "deadline": "2036-12-01T00:15:00Z",
    "grantedAt": _MOMENT,
    "endedAt": _MOMENT,
    "endReason": "Revoked",
    "serviceAccountName": _IDENTITY,
    "serviceAccountUID": "1b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11",
    "timerUID": "2b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11",
    "jobRef": {"name": "triage", "uid": "0b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11"},
    "grants": [
        {
            "role": {"kind": "ClusterRole", "name": "view"},
            "roleBinding": f"{_IDENTITY}-0",
            "rulesHash": "sha256:00",
        },
        {
            "roleBinding": _IDENTITY,
            "rulesHash": "sha256:01",
        },
    ],
    "policyRef": {"name": "deploy", "uid": "5b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11", "generation": 3},
    "tokenSecretName": _IDENTITY,
    "credentialIDs": ["JTI=6b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11"],
}
