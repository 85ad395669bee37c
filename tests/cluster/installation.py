"""The chart on a test cluster, installed as a user would: `helm template | kubectl apply --server-side`.

Called by tests and by the demo. `install` returns only when the guards refuse what they should: a policy takes effect
some hundred milliseconds after it was created. It never installs anything but what the chart ships.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import wait_for

NAMESPACE = "tasksession-system"
RELEASE = "tasksession"
CHART = Path(__file__).resolve().parents[2] / "charts" / "tasksession"
VALUES: Mapping[str, Any] = {"operator": {"create": False}}


class InstallationError(Exception):
    """helm or kubectl refused, or warned; the message is theirs."""


def install(cluster: Cluster, *, values: Mapping[str, Any] | None = None, release_namespace: str = NAMESPACE) -> None:
    """Install or update the chart, by default without its Deployment, and wait until the guards are in force."""
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release_namespace}})
    manifests = render(cluster, values=values, release_namespace=release_namespace)
    said = kubectl(cluster, "apply", "--server-side", "--force-conflicts", "-f", "-", given=manifests)
    if "Warning" in said:
        raise InstallationError(f"kubectl apply warned:\n{said}")
    wait_until_guarded(cluster.api)


def uninstall(cluster: Cluster, *, values: Mapping[str, Any] | None = None, release_namespace: str = NAMESPACE) -> None:
    """Remove all that `install` brought, and with the definitions every session."""
    manifests = render(cluster, values=values, release_namespace=release_namespace)
    kubectl(cluster, "delete", "--ignore-not-found", "--wait=true", "-f", "-", given=manifests)
    cluster.api.delete(f"/api/v1/namespaces/{release_namespace}")


def render(cluster: Cluster, *, values: Mapping[str, Any] | None = None, release_namespace: str = NAMESPACE) -> str:
    """Return the chart's manifests for this cluster's version; `values` go over those of tests."""
    merged = {**VALUES, **(values or {})}
    return helm(
        cluster, "template", RELEASE, str(CHART), "--skip-tests", "--namespace", release_namespace,
        "--kube-version", cluster.kubernetes, "--values", "-", given=json.dumps(merged),
    )  # fmt: skip


def helm(cluster: Cluster, *arguments: str, given: str = "") -> str:
    """Run helm against the cluster and return what it printed."""
    return _run([str(cluster.helm), "--kubeconfig", str(cluster.kubeconfig), *arguments], given)


def kubectl(cluster: Cluster, *arguments: str, given: str = "") -> str:
    """Run kubectl against the cluster as its administrator and return what it printed."""
    return _run([str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), *arguments], given)


def wait_until_guarded(api: Api, *, timeout: float = 30) -> None:
    """Wait until dry-run writes show the guards at work, one of each kind, the ones that come last among them."""
    wait_for(lambda: _guarded(api), timeout=timeout, what="the guards to be in force", interval=0.1)


def _guarded(api: Api) -> bool:
    pod = {"containers": [{"name": "probe", "image": "probe"}], "restartPolicy": "Never"}
    job: Object = {
        "metadata": {"name": "guard-probe", "annotations": {"tasksession.dev/policy": "guard-probe"}},
        "spec": {"template": {"spec": pod}},
    }
    session: Object = {
        "apiVersion": "tasksession.dev/v1alpha1",
        "kind": "TaskSession",
        "metadata": {"name": "guard-probe", "labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "spec": {"policy": "guard-probe", "task": {"job": {"name": "guard-probe"}}, "ttlSecondsAfterFinished": 1},
    }
    labelled: Object = {"metadata": {"name": "guard-probe", "labels": {"tasksession.dev/timer": "x"}}, "spec": pod}
    service: Object = {"metadata": {"name": "kubernetes"}, "spec": {"type": "ExternalName", "externalName": "probe"}}
    # No session may be in kube-public, and the stamp is what makes a TaskSession without a requester valid.
    excluded, ordinary = "namespaces/kube-public", "namespaces/default"
    return (
        _refused(api, f"/api/v1/{excluded}/services", service, "kubernetes-service")
        and _refused(api, f"/api/v1/{ordinary}/pods", labelled, "timer-label")
        and _refused(api, f"/apis/batch/v1/{excluded}/jobs", job, "job-shape")
        and _injected(api, f"/apis/batch/v1/{ordinary}/jobs", job)
        and _refused(api, f"/apis/tasksession.dev/v1alpha1/{ordinary}/tasksessions", session, "tombstone")
    )


def _refused(api: Api, path: str, body: Object, guard: str) -> bool:
    try:
        api.create(path, body, dryRun="All")
    except ApiError as error:
        return f"'tasksession-{guard}'" in error.message
    return False


def _injected(api: Api, path: str, job: Object) -> bool:
    try:
        spec = api.create(path, job, dryRun="All")["spec"]
    except ApiError:
        return False
    return spec.get("suspend") is True and bool(spec["template"]["spec"].get("volumes"))


def _run(command: list[str], given: str) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise InstallationError(f"{Path(command[0]).name} {command[3]} failed:\n{done.stderr.strip()}")
    return done.stdout + done.stderr
