"""`tasksession-operator check`, which `helm test` runs: with the rights that the chart gives it, on a faulty cluster.

That it says yes is shown on a real node, where the operator is a pod.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.installation import CHART, NAMESPACE, RELEASE, helm, kubectl
from tests.cluster.waiting import wait_for
from tests.support.world import World

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


def hooks(cluster: Cluster) -> list[Object]:
    """Return what `helm test` creates."""
    template = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", cluster.kubernetes]
    rendered = helm(cluster, *template, "--show-only", "templates/tests/check.yaml")
    return [each for each in yaml.safe_load_all(rendered) if each]


@pytest.fixture(scope="module")
def tester(doctor_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a kubeconfig with the rights of the test's pod."""
    found = yaml.safe_dump_all(each for each in hooks(doctor_cluster) if each["kind"] != "Pod")
    kubectl(doctor_cluster, "apply", "-f", "-", given=found)
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/tasksession-test/token"
    answer = doctor_cluster.api.create(path, {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"})
    config = yaml.safe_load(doctor_cluster.kubeconfig.read_text())
    config["users"] = [{**each, "user": {"token": answer["status"]["token"]}} for each in config["users"]]
    kubeconfig = tmp_path_factory.mktemp("check") / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(config))
    yield kubeconfig
    kubectl(doctor_cluster, "delete", "-f", "-", given=found)


def check(kubeconfig: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the command once; its status and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tasksession", "check", "--kubeconfig", str(kubeconfig), "--timeout", "0", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": "operator"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_without_an_operator(tester: Path) -> None:
    """Guards hold without it, and the sentence says where to look for it."""

    def said() -> list[str] | None:
        status, lines = check(tester)
        assert status == 1
        return lines if [line.split(":")[0] for line in lines] == ["failed", "ok", "ok", "ok"] else None

    # The API server learns of the rights a moment after they were given.
    first, _, let_in, _ = wait_for(said, timeout=20, what="only the operator to be missing")
    assert "no operator has ever worked here" in first and "kubectl get deployments,pods" in first
    assert f"system:serviceaccount:{NAMESPACE}:tasksession-test as its requester" in let_in


def test_a_guard_that_is_off(doctor_cluster: Cluster, world: World, tester: Path) -> None:
    """A guard that does not refuse is seen twice: its binding is missing, and a TaskSession comes through."""
    with world.without_guards("use", "reserved-names"):
        status, lines = check(tester)
    assert status == 1
    assert any(line.startswith("failed: ValidatingAdmissionPolicy tasksession-") for line in lines), lines
    assert any("SessionPolicy tasksession-test-forbidden was let in" in line for line in lines), lines


def test_a_namespace_in_which_no_session_may_be(tester: Path) -> None:
    """The API server's own words are passed on: here that its user may not create TaskSessions elsewhere."""
    status, lines = check(tester, "--namespace", "kube-system")
    assert status == 1
    assert any(line.startswith("failed: ") and "tasksession-test" in line for line in lines), lines


def test_its_pod_meets_the_restricted_standard(doctor_cluster: Cluster) -> None:
    """The API server takes it, as a dry run, in a namespace that enforces it."""
    name = "check-restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    doctor_cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    pods = f"/api/v1/namespaces/{name}/pods"
    (pod,) = [each for each in hooks(doctor_cluster) if each["kind"] == "Pod"]
    body = {"metadata": {"name": "check"}, "spec": {**pod["spec"], "serviceAccountName": "default"}}
    wait_for(
        lambda: doctor_cluster.api.find(f"/api/v1/namespaces/{name}/serviceaccounts/default"),
        timeout=20, what="the namespace's ServiceAccount",
    )  # fmt: skip
    try:
        assert doctor_cluster.api.create(pods, body, dryRun="All")
        refused = World.refusal_of(
            lambda: doctor_cluster.api.create(
                pods, {**body, "spec": {**body["spec"], "hostNetwork": True}}, dryRun="All"
            )
        )
        assert refused is not None and "restricted" in refused.message
    finally:
        doctor_cluster.api.delete(f"/api/v1/namespaces/{name}")
