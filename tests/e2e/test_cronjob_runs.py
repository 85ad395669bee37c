"""A scheduled batch on a real node: rights for one run, lost before the next."""

from typing import Any

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.e2e.conftest import pod
from tests.e2e.node_token import session_api, status_of
from tests.support.world import World

pytestmark = pytest.mark.node

SCRIPT = """
kubectl auth whoami -o jsonpath='{.status.userInfo.username}{"\\n"}'
if kubectl get configmaps >/dev/null 2>&1; then echo "configmaps: allowed"; else echo "configmaps: refused"; fi
if kubectl get secrets >/dev/null 2>&1; then echo "secrets: allowed"; else echo "secrets: refused"; fi
sleep 4
"""


def runs(world: World) -> list[str]:
    """Name the runs of the CronJob, the oldest first."""
    found = [job["metadata"] for job in world.admin.list(world.path("Job"))]
    named = [each for each in found if each["name"].startswith("batch-")]
    return [each["name"] for each in sorted(named, key=lambda each: str(each["creationTimestamp"]))]


def log_of(world: World, job: str) -> list[str]:
    """Read what the pod of a Job printed."""
    name = world.pod_of(job)["metadata"]["name"]
    return str(world.admin.request("GET", world.path("Pod", name) + "/log").get("text", "")).splitlines()


def test_two_runs_of_a_cronjob(world: World, operator: OperatorProcess) -> None:
    """Two identities; the first run's token is refused before the second run begins, and nothing is left between."""
    annotations = {
        "tasksession.dev/policy": world.policy,
        "tasksession.dev/access": "roles: [{kind: ClusterRole, name: view}]",
    }
    template = {"metadata": {"annotations": annotations}, "spec": world.job_spec(template={"spec": pod(SCRIPT)})}
    world.jane.create(
        f"/apis/batch/v1/namespaces/{world.namespace}/cronjobs",
        {"metadata": {"name": "batch"}, "spec": {"schedule": "* * * * *", "jobTemplate": template}},
    )
    first = wait_for(lambda: runs(world), timeout=80, what="the first run")[0]
    token = session_api(world, first)
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
    assert status_of(token, path) == 200
    world.wait_state(first, "Completed", timeout=40)
    wait_for(lambda: status_of(token, path) in (401, 403), timeout=5, what="the first run's token to be refused")
    world.wait_nothing_left()
    assert runs(world) == [first]

    def second_run() -> Any:
        return [name for name in runs(world) if name != first]

    second = wait_for(second_run, timeout=80, what="the second run")[0]
    wait_for(lambda: world.admin.find(f"{world.sessions}/{second}"), timeout=20, what="the second run's session")
    world.wait_state(second, "Active", timeout=30)
    assert status_of(token, path) in (401, 403)
    world.wait_state(second, "Completed", timeout=40)
    identities = [world.status(run)["serviceAccountName"] for run in (first, second)]
    assert len(set(identities)) == 2
    for run, identity in zip((first, second), identities, strict=True):
        user = f"system:serviceaccount:{world.namespace}:{identity}"
        assert log_of(world, run) == [user, "configmaps: allowed", "secrets: refused"]
