"""What surrounds a session turns on it: guards that were away, a policy of somebody else's, a flood of hostile Jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import ApiError, Cluster
from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.weakening import prepare, without_guards
from tests.support.world import World

ACCESS = "roles: [{kind: ClusterRole, name: view}]"
_ROOT = "/apis/admissionregistration.k8s.io/v1"


def annotated(world: World, name: str, **more: str) -> Object:
    """Return the manifest of an annotated Job."""
    asked = {"policy": world.policy, "ttl": "5m", "access": ACCESS, **more}
    marks = {f"tasksession.dev/{key}": value for key, value in asked.items()}
    return {"metadata": {"name": name, "annotations": marks}, "spec": world.job_spec()}


def wait_session(world: World, name: str, *states: str, timeout: float = 30) -> Object:
    """Wait until a Job's session is in one of these states."""
    wait_for(lambda: world.admin.find(f"{world.sessions}/{name}"), timeout=timeout, what=f"the session of {name}")
    return world.wait_state(name, *states, timeout=timeout)


def test_a_stamp_forged_while_guards_were_away_grants_nothing(
    world: World, operator: OperatorProcess, operator_cluster: Cluster
) -> None:
    """bob writes Jane's name onto a Job and a TaskSession while nothing stops him: denied when the guards are back."""
    try:
        prepare(world.admin)
    except ApiError as error:
        assert error.status == 409
    bob = world.admin.as_user("bob", groups=["system:authenticated"])
    for role in ("edit", "tasksession-requester"):
        world.admin.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"bob-{role}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
            },
            namespace=world.namespace,
        )
    away = ("job-injection", "job-stamp", "job-shape", "use", "requester", "requester-stamp")
    with without_guards(world.admin, away):
        forged = annotated(world, "forged", **{"requested-by": "jane"})
        forged["metadata"]["labels"] = {"tasksession.dev/managed": "true"}
        forged["spec"]["suspend"] = True
        wait_for(lambda: bob.create(world.path("Job"), forged), timeout=10, what="bob's Job", ignoring=(ApiError,))
        session = world.manifest("forged-too", requester={"username": "jane", "uid": "", "groups": []})
        bob.create(world.sessions, session)
    for name in ("forged", "forged-too"):
        wait_session(world, name, "Denied")
        assert "create it again" in world.ready(name)["message"]
    assert world.admin.get(world.path("Job", "forged"))["spec"]["suspend"] is True
    assert world.all_children() == {}


@pytest.fixture
def labelled_jobs(world: World) -> Iterator[None]:
    """Let a policy of somebody else's put a label onto every Job of the namespace that is changed."""
    name = f"label-{world.namespace}"
    expression = 'JSONPatch{op: "add", path: "/metadata/labels/team", value: "x"}'
    spec: Object = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "resourceRules": [
                {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["jobs"]}
            ],
        },
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{expression}]"}}],
    }
    world.admin.create(f"{_ROOT}/mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    binding = {"metadata": {"name": name}, "spec": {"policyName": name}}
    world.admin.create(f"{_ROOT}/mutatingadmissionpolicybindings", binding)
    probe = {"metadata": {"name": "probe", "labels": {"a": "b"}}, "spec": world.job_spec(suspend=True)}
    world.admin.create(world.path("Job"), probe)

    def labelled() -> bool:
        changed = world.admin.patch(world.path("Job", "probe"), {"metadata": {"labels": {"a": "c"}}})
        return "team" in changed["metadata"]["labels"]

    wait_for(labelled, timeout=10, what="the policy to be in force", interval=0.2)
    yield
    world.admin.delete(f"{_ROOT}/mutatingadmissionpolicybindings/{name}")
    world.admin.delete(f"{_ROOT}/mutatingadmissionpolicies/{name}")


@pytest.fixture
def no_inline_roles(world: World) -> Iterator[None]:
    """Yield with a policy of somebody else's in force that lets nobody bind a Role in this namespace."""
    name = f"roles-{world.namespace}"
    spec: Object = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "resourceRules": [
                {
                    "apiGroups": ["rbac.authorization.k8s.io"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["rolebindings"],
                }
            ],
        },
        "validations": [{"expression": "object.roleRef.kind != 'Role'", "message": "no Roles here"}],
    }
    world.admin.create(f"{_ROOT}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    world.admin.create(f"{_ROOT}/validatingadmissionpolicybindings", binding)
    probe = {
        "metadata": {"name": "probe"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "none"},
        "subjects": [],
    }

    def refuses() -> bool:
        refused = world.refusal_of(lambda: world.admin.create(world.path("RoleBinding"), probe))
        if refused is None:
            world.admin.delete(world.path("RoleBinding", "probe"))
        return refused is not None and "no Roles here" in refused.message

    wait_for(refuses, timeout=10, what="the policy to be in force", interval=0.2)
    yield
    world.admin.delete(f"{_ROOT}/validatingadmissionpolicybindings/{name}")
    world.admin.delete(f"{_ROOT}/validatingadmissionpolicies/{name}")


def test_a_right_that_something_else_refuses_denies_all_of_them_once(
    world: World, operator: OperatorProcess, no_inline_roles: None
) -> None:
    """One RoleBinding is made and the next refused: the first is taken again, and nothing is tried a second time."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["triage"]}]
    world.request("mixed", access={"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": rules})
    world.wait_state("mixed", "Denied")
    assert "no Roles here" in world.ready("mixed")["message"]
    world.wait_nothing_left()
    writes = [each for each in world.writes() if each[1] == "rolebindings"]
    assert writes.count(("delete", "rolebindings")) == 1, writes
    assert writes.count(("create", "rolebindings")) <= 2, writes


def test_a_job_that_something_else_changes_fails_at_once(
    world: World, operator: OperatorProcess, labelled_jobs: None
) -> None:
    """The release is refused because of what it would bring along: the rights go, and the Job is told whose words it
    was."""
    world.jane.create(world.path("Job"), annotated(world, "labelled"))
    status = wait_session(world, "labelled", "Failed")
    assert status["endReason"] == "JobFailed"
    assert "could not be released" in world.ready("labelled")["message"]
    world.wait_nothing_left()
    assert world.admin.get(world.path("Job", "labelled"))["spec"]["suspend"] is True


@pytest.mark.timeout(180)
def test_a_flood_of_hostile_jobs_does_not_keep_the_operator_from_starting(world: World, tmp_path: Path) -> None:
    """Sixty Jobs whose annotations are made to be slow to read: the operator is ready, and denies them one by one."""
    for number in range(60):
        world.jane.create(world.path("Job"), annotated(world, f"slow-{number}", access="[" * 8190))
    with world.operator(tmp_path) as process:

        def all_denied() -> bool:
            found = world.admin.list(world.sessions)
            return len(found) == 60 and all(item["status"].get("endReason") == "InvalidJob" for item in found)

        wait_for(all_denied, timeout=90, what="all of them to be denied", interval=0.5)
        assert process.probe("/livez")[0] == 200
        assert "Traceback" not in process.log.read_text()
