"""`tasksession-operator doctor` on a real cluster: a clean one, one with every fault, and as somebody small."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.installation import install, kubectl
from tests.cluster.operator_process import NAMESPACE, OperatorProcess, operator_kubeconfig
from tests.integration.doctor.test_weakened_guards import TOKEN
from tests.support.world import CEILING, World

LEASE = "Lease tasksession-system/tasksession-operator"
LEASE_PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/tasksession-operator"


def doctor(kubeconfig: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a user would."""
    command = [sys.executable, "-m", "tasksession", "doctor", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": "operator"}
    )


def findings(kubeconfig: Path, *arguments: str) -> dict[str, list[dict[str, str]]]:
    """Run the command and return its findings by object."""
    done = doctor(kubeconfig, "--output", "json", *arguments)
    assert done.stderr == "", done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    report = json.loads(done.stdout)
    assert report["status"] == done.returncode
    for each in report["findings"]:
        found.setdefault(each["object"], []).append(each)
    return found


@pytest.fixture
def fresh() -> Iterator[Cluster]:
    """Return a cluster with the chart as shipped and nothing else."""
    with Cluster(f"doctor-fresh-{os.getpid()}") as cluster:
        yield cluster


def with_lease(cluster: Cluster, folder: Path) -> OperatorProcess:
    """Return an operator that shares a Lease, as those of the chart's Deployment do."""
    return OperatorProcess(
        kubeconfig=operator_kubeconfig(cluster.api, folder / "operator.kubeconfig"),
        folder=folder,
        arguments=["--lease-namespace", NAMESPACE],
        record=cluster.folder / "pids" / "operator",
    )


def test_from_an_empty_cluster_to_a_clean_one(fresh: Cluster, tmp_path: Path) -> None:
    """Without the chart guards and definitions fail; with it and an operator at work all is fine, and nothing was
    written by the doctor."""
    found = findings(fresh.kubeconfig)
    assert {"Guards", "CustomResourceDefinition tasksessions.tasksession.dev", "The operator"} <= set(found)
    old_cron_job(fresh)
    install(fresh, values={"ceiling": CEILING})
    found = findings(fresh.kubeconfig)
    assert list(found) == [LEASE, "CronJob default/old"]
    assert "written before the guards" in found["CronJob default/old"][0]["problem"]
    fresh.api.delete("/apis/batch/v1/namespaces/default/cronjobs/old")
    old_cron_job(fresh)
    with with_lease(fresh, tmp_path) as operator:
        wait_for(lambda: fresh.api.find(LEASE_PATH), timeout=20, what="the Lease")
        before = writes(fresh)
        done = doctor(fresh.kubeconfig)
    assert "Traceback" not in operator.log.read_text()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "All is fine."
    assert writes(fresh)[len(before) :] == []


def test_no_operator_at_work_is_found(doctor_cluster: Cluster, tmp_path: Path) -> None:
    """None was ever there, one works, it stopped, it died: what is found is the Lease, and its age by the API server's
    clock."""

    def found() -> dict[str, str]:
        (each,) = findings(doctor_cluster.kubeconfig)[LEASE]
        return each

    assert found()["severity"] == "warning" and "no operator has ever worked here" in found()["problem"]
    try:
        with with_lease(doctor_cluster, tmp_path) as operator:
            wait_for(lambda: doctor_cluster.api.find(LEASE_PATH), timeout=20, what="the Lease")
            assert LEASE not in findings(doctor_cluster.kubeconfig)
            operator.kill()
        holder = doctor_cluster.api.get(LEASE_PATH)["spec"]["holderIdentity"]
        # Another one may take over yet.
        assert LEASE not in findings(doctor_cluster.kubeconfig)
        doctor_cluster.api.patch(LEASE_PATH, {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}})
        died = found()
        assert died["severity"] == "failure" and f"{holder} renewed it last at 2026-01-01T00:00:00Z" in died["problem"]
        assert "kubectl get deployments,pods --namespace tasksession-system" in died["advice"]
        doctor_cluster.api.patch(LEASE_PATH, {"spec": {"holderIdentity": ""}})
        assert "the last one has given it up" in found()["problem"]
    finally:
        doctor_cluster.api.delete(LEASE_PATH)


def old_cron_job(cluster: Cluster) -> None:
    """Make a CronJob with a stamp that nobody checked."""
    marks = {"tasksession.dev/policy": "x", "tasksession.dev/requested-by": "alice"}
    cluster.api.create("/apis/batch/v1/namespaces/default/cronjobs", cron_job("old", marks))


def cron_job(name: str, marks: dict[str, str]) -> Object:
    """Build a CronJob whose Jobs have annotations."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}
    template = {"metadata": {"annotations": marks}, "spec": {"template": {"spec": pod}}}
    return {"metadata": {"name": name}, "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template}}


def writes(cluster: Cluster) -> list[str]:
    """The client's writes in the audit log, reviews left out: they store nothing."""
    entries = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    return [
        entry["requestURI"]
        for entry in entries
        if entry["verb"] in ("create", "update", "patch", "delete", "deletecollection")
        and entry["user"]["username"] == "kubernetes-admin"
        and not entry["requestURI"].partition("?")[0].endswith("reviews")
    ]


FAULTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: doctor-wide}
rules:
  - {apiGroups: [""], resources: [users], verbs: [impersonate]}
  - {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind, escalate]}
  - {apiGroups: [apps], resources: ["*"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: doctor-wide}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: doctor-wide}
subjects: [{kind: ServiceAccount, name: tasksession-operator, namespace: tasksession-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: doctor-aggregated, labels: {rbac.authorization.k8s.io/aggregate-to-edit: "true"}}
rules: [{apiGroups: [tasksession.dev], resources: [sessionpolicies], verbs: [use]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: doctor-policies}
rules: [{apiGroups: [admissionregistration.k8s.io], resources: [validatingadmissionpolicies], verbs: [update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: doctor-policies}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: doctor-policies}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: carl}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: doctor-argocd}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
  - {kind: ServiceAccount, name: argocd, namespace: tools}
  - {apiGroup: rbac.authorization.k8s.io, kind: Group, name: platform}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: doctor-edit, namespace: tasksession-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: doctor-group, namespace: SPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts:SPACE"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: doctor-admin, namespace: SPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ann}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: doctor-ci, namespace: SPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: use-policy}
subjects: [{kind: ServiceAccount, name: ci, namespace: SPACE}]
"""


def test_every_fault_is_found(doctor_cluster: Cluster, world: World, tmp_path: Path) -> None:
    """One fault of each kind on one cluster: each is named, those that matter as failures, and status is 1."""
    space = world.namespace
    with world.operator(tmp_path):
        world.request("triage")
        identity = world.wait_state("triage", "Active")["serviceAccountName"]
    with world.without_guards("reserved-names", "operator-child-delete", "cascade"):
        world.admin.delete(world.path("ServiceAccount", identity))
    faults = FAULTS.replace("SPACE", space)
    before = world.admin.get(TOKEN)
    broken = {"ceiling": {**CEILING, "clusterRoles": ["view", "edit", "no-such-role"]}}
    try:
        install(doctor_cluster, values=broken)
        kubectl(doctor_cluster, "apply", "-f", "-", given=faults)
        world.admin.patch(TOKEN, {"spec": {"failurePolicy": "Ignore"}})
        found = findings(doctor_cluster.kubeconfig, "--namespace", space)
        assert_found(found, space)
        everywhere = findings(doctor_cluster.kubeconfig)
        assert set(found) <= set(everywhere)
    finally:
        kubectl(doctor_cluster, "delete", "--ignore-not-found", "-f", "-", given=faults)
        world.admin.replace(TOKEN, {**world.admin.get(TOKEN), "spec": before["spec"]})
        install(doctor_cluster, values={"ceiling": CEILING})


def assert_found(found: dict[str, list[dict[str, str]]], space: str) -> None:
    """Compare the findings with the faults."""
    wanted: list[tuple[str, str, str]] = [
        ("ValidatingAdmissionPolicy tasksession-token", "failure", "failurePolicy is Ignore"),
        ("ClusterRole doctor-wide", "failure", "impersonate"),
        ("ClusterRole doctor-wide", "failure", "escalate"),
        ("ClusterRole doctor-wide", "failure", "bind on all clusterroles"),
        ("ClusterRole doctor-wide", "failure", "wildcard"),
        ("ClusterRole edit", "warning", "the verb impersonate"),
        ("ClusterRole no-such-role", "warning", "does not exist"),
        ("ClusterRole doctor-aggregated", "failure", "use on sessionpolicies"),
        ("ClusterRole doctor-policies", "warning", "carl"),
        ("ServiceAccount tools/argocd", "warning", "cluster administrator"),
        ("Cluster administrators", "note", "Group platform"),
        ("Namespace tasksession-system", "warning", "User bob (edit)"),
        (f"RoleBinding {space}/doctor-group", "warning", "view"),
        (f"Namespace {space}", "warning", "User ann (cluster-admin)"),
        (f"Namespace {space}", "note", "(edit)"),
        (f"ServiceAccount {space}/ci", "warning", "use or approve"),
        (f"TaskSession {space}/triage", "failure", "its ServiceAccount"),
    ]
    for subject, severity, words in wanted:
        assert any(each["severity"] == severity and words in each["problem"] for each in found.get(subject, [])), (
            f"{subject}: {severity}: {words} is not in {json.dumps(found, indent=1)}"
        )


def test_what_one_may_not_read_is_reported(world: World, tmp_path: Path) -> None:
    """Somebody without rights gets findings that say what could not be checked, no area that is fine, and status 3."""
    done = doctor(with_token(world, tmp_path), "--namespace", world.namespace)
    assert done.returncode == 3, done.stderr
    assert done.stdout.count("not checked:") >= 10
    assert f"system:serviceaccount:{world.namespace}:small" in done.stdout and "cannot list" in done.stdout
    fine = [line for line in done.stdout.splitlines() if line.endswith(": fine")]
    assert fine == []


def with_token(world: World, folder: Path) -> Path:
    """Write a kubeconfig with a token of a ServiceAccount that has no rights of its own."""
    accounts = f"/api/v1/namespaces/{world.namespace}/serviceaccounts"
    world.admin.create(accounts, {"metadata": {"name": "small"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = world.admin.create(f"{accounts}/small/token", request)["status"]["token"]
    config: dict[str, Any] = yaml.safe_load(world.cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_cluster_that_is_not_there_is_a_sentence(world: World, tmp_path: Path) -> None:
    """No traceback, one sentence, and status 1; a context that does not exist likewise."""
    config: dict[str, Any] = yaml.safe_load(world.cluster.kubeconfig.read_text())
    for each in config["clusters"]:
        each["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    for arguments in ([str(path)], [str(world.cluster.kubeconfig), "--context", "nowhere"]):
        done = doctor(Path(arguments[0]), *arguments[1:])
        assert done.returncode == 1
        assert done.stderr.startswith("Error: the cluster cannot be examined") or "cannot connect" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_operator_examines_its_cluster_after_its_start(
    doctor_cluster: Cluster, world: World, tmp_path: Path
) -> None:
    """It works first; then what it may read is looked at, and faults are warnings in its log."""
    faults = FAULTS.replace("SPACE", world.namespace)
    try:
        kubectl(doctor_cluster, "apply", "-f", "-", given=faults)
        process = world.operator(tmp_path)
        with process:
            wait_for(lambda: process.lines("the doctor has looked"), timeout=30, what="the doctor")
            found = process.lines("the doctor found something")
            (looked,) = process.lines("the doctor has looked")
        assert "Traceback" not in process.log.read_text()
    finally:
        kubectl(doctor_cluster, "delete", "--ignore-not-found", "-f", "-", given=faults)
    assert any(each["object"] == "The operator" and "impersonate" in each["problem"] for each in found)
    assert any(each["object"] == f"RoleBinding {world.namespace}/doctor-group" for each in found)
    assert {each["level"] for each in found} == {"warning"} and looked["level"] == "info"
    assert looked["failure"] >= 1


def test_the_operators_start_finds_nothing_on_a_clean_cluster(world: World, operator: OperatorProcess) -> None:
    """With the chart as it ships and people with edit, the log has no warning of the doctor."""
    wait_for(lambda: operator.lines("the doctor has looked"), timeout=30, what="the doctor")
    assert operator.lines("the doctor found something") == []
    assert operator.lines("the doctor could not finish") == []
