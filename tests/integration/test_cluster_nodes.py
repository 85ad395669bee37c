"""The test cluster's nodes: what a pod there can do, and what of it is left when the cluster ends."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Api, Cluster, chosen_context, wait_for
from tests.cluster import state as records
from tests.cluster.cluster import end, end_stale
from tests.cluster.node import NodeUnavailableError, resolve
from tests.cluster.real_node import TASK_IMAGE

pytestmark = pytest.mark.skipif(bool(chosen_context()), reason="about clusters that the tests start themselves")

_TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


def _job(name: str, command: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    container = {
        "name": "task",
        "image": TASK_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
        "volumeMounts": [{"name": "token", "mountPath": _TOKEN_FOLDER}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": "token", "projected": {"sources": sources}}],
    }
    template = {"metadata": {"annotations": annotations or {}}, "spec": pod}
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}


def _ended(api: Api, name: str) -> str:
    def condition() -> str:
        status = api.get(f"/apis/batch/v1/namespaces/default/jobs/{name}")["status"]
        ended = [each["type"] for each in status.get("conditions", []) if each["type"] in ("Complete", "Failed")]
        return ended[0] if ended else ""

    return wait_for(condition, timeout=60, what=f"the Job {name} to end")


@pytest.mark.node
def test_a_pod_of_the_real_node_uses_its_token(node_cluster: Cluster) -> None:
    """A plain pod finds the API server by its own environment and is there who its projected token says."""
    api = node_cluster.api
    api.create("/apis/batch/v1/namespaces/default/jobs", _job("who", "kubectl auth whoami"))
    assert _ended(api, "who") == "Complete"
    (pod,) = api.list("/api/v1/namespaces/default/pods", labelSelector="job-name=who")
    log = api.get(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}/log")["text"]
    assert "system:serviceaccount:default:default" in log


@pytest.mark.node
def test_a_real_node_leaves_nothing_behind(node_cluster: Cluster) -> None:
    """When a cluster ends while pods run, its containers, mounts and processes go with it."""
    assert node_cluster.node == "real"
    with Cluster(f"second-node-{os.getpid()}", node="real") as second:
        second.api.create("/apis/batch/v1/namespaces/default/jobs", _job("sleeps", "exec sleep 1000"))
        pods = "/api/v1/namespaces/default/pods"
        second.api.wait(lambda api: [p for p in api.list(pods) if p["status"]["phase"] == "Running"], timeout=60)
        bundles = list((second.folder / "node" / "run" / "io.containerd.runtime.v2.task" / "k8s.io").glob("*"))
        pids = [int((bundle / "init.pid").read_text()) for bundle in bundles]
        assert len(pids) == 2  # the pod's sandbox and its container
    wait_for(lambda: not any(_lives(pid) for pid in pids), timeout=5, what="the containers' processes to end")
    assert str(second.folder) not in Path("/proc/self/mountinfo").read_text()
    assert not second.folder.exists()


def test_the_simulated_node_plays_jobs(simulated_node_cluster: Cluster) -> None:
    """A Job's pod ends by itself after a while, well or badly, as the annotations of its template say."""
    api = simulated_node_cluster.api
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    api.create(jobs, _job("well", "true", {"simulated/runs-for": "100ms"}))
    api.create(jobs, _job("badly", "true", {"simulated/exit-code": "7"}))
    assert _ended(api, "well") == "Complete"
    assert _ended(api, "badly") == "Failed"


def test_a_node_that_cannot_be_had_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root there is no real node, and the message says so; `auto` is then the simulated one."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NodeUnavailableError, match=r"^a real node needs root$"):
        resolve("real")
    assert resolve("auto") == "kwok"


def test_a_cluster_of_another_boot_is_stale(cluster: Cluster) -> None:
    """After a restart of the machine no recorded pid is believed: the record goes, and no process is ended."""
    recorded = records.read(cluster.name)
    assert recorded is not None
    old = records.State(name=f"old-{os.getpid()}", node="none", kubernetes="1.0.0", boot="another")
    old.write()
    (old.folder / "pids").mkdir()
    (old.folder / "pids" / "etcd").write_text((recorded.folder / "pids" / "etcd").read_text())
    assert old.processes == {}
    assert old.name in end_stale()
    assert not old.folder.exists()
    assert cluster.api.get("/healthz") == {"text": "ok"}
    end(old)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
