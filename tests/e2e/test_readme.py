"""The README's commands, one after another as they are printed, on a cluster that has nothing of ours yet."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, NodeUnavailableError, wait_for
from tests.cluster.image import TASK_IMAGE
from tests.cluster.ports import free_ports

pytestmark = pytest.mark.node

LOOKS_FOR_WHAT_IS_LEFT = "kubectl get serviceaccounts,rolebindings --namespace support"
NOTHING_LEFT = "No resources found in support namespace."
ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[str]:
    """Return the shell blocks of the README's section "Use it", in order."""
    section = (ROOT / "README.md").read_text().split("\n## Use it\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def on_the_test_node(block: str, port: int) -> str:
    """Replace what the test's node cannot do: load images, and route pods to the API server."""
    block = block.replace("make image CONTEXT=kind-kind\n", "")
    options = f"hostNetwork=true,operator.replicas=1,operator.probePort={port},operator.imagePullPolicy=Never"
    return block.replace("examples/values.yaml --wait", f"examples/values.yaml --wait --set operator.{options}")


def with_images_of_the_test_node(examples: Path) -> None:
    """Let the examples use the image that is on the test's node: it can pull none."""
    there = rf"\1image: {TASK_IMAGE}\n\1imagePullPolicy: Never"
    for file in examples.rglob("*.yaml"):
        file.write_text(re.sub(r"^( *)image: alpine/k8s.*$", there, file.read_text(), flags=re.MULTILINE))


@pytest.fixture
def empty_node(operator_archive: Path) -> Iterator[Cluster]:
    """Return a cluster with a real node and the operator's image, and nothing else."""
    try:
        cluster = Cluster(f"readme-{os.getpid()}", node="real")
    except NodeUnavailableError as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    with cluster:
        cluster.import_image(operator_archive)
        yield cluster


@pytest.mark.timeout(420)
def test_the_readmes_commands_work_as_printed(empty_node: Cluster, tmp_path: Path) -> None:
    """Every block ends with status 0; the pod was allowed and refused what the text says; nothing is left."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ("kubectl", "helm"):
        (binaries / name).symlink_to(getattr(empty_node, name))
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with_images_of_the_test_node(tmp_path / "examples")
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "KUBECONFIG": str(empty_node.kubeconfig),
        "HOME": str(tmp_path),
    }
    port = free_ports(1, taken=set())[0]
    said = []

    def run(block: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", on_the_test_node(block, port)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    for block in commands():
        said.append(run(block))
        if block.startswith(LOOKS_FOR_WHAT_IS_LEFT):
            # It takes a moment on a busy machine.
            wait_for(lambda block=block: NOTHING_LEFT in run(block), timeout=20, what="nothing to be left")  # type: ignore[misc]
    whole = "\n".join(said)
    assert_helm_test(whole, empty_node)
    assert "system:serviceaccount:support:ts-" in whole
    assert "allowed: kubectl patch configmap triage" in whole
    assert "refused: kubectl get secrets" in whole
    assert whole.count("condition met") == 3 and LOOKS_FOR_WHAT_IS_LEFT in "".join(commands())


def assert_helm_test(said: str, cluster: Cluster) -> None:
    """What `helm test` says, and that its pod and its rights are gone again."""
    assert "ok: an operator works: pod tasksession-operator-" in said
    assert "guards are in force" in said
    assert said.count("(dry run)") == 2 and "failed:" not in said
    assert cluster.api.find("/api/v1/namespaces/tasksession-system/pods/tasksession-test") is None
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    for path in ("clusterroles", "clusterrolebindings", "namespaces/default/roles", "namespaces/default/rolebindings"):
        names = [each["metadata"]["name"] for each in cluster.api.list(f"{rbac}/{path}")]
        assert not [name for name in names if name.startswith("tasksession-test")]
