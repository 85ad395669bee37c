"""Jobs of all shapes with the one annotation: they do what they did without it, as an identity of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import Cluster
from tests.cluster.api import ApiError, Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.person import Person
from tests.cluster.waiting import wait_for
from tests.support.world import World

ACCESS = "roles: [{kind: ClusterRole, name: view}]"


def create(
    world: World, name: str, *, pod: Object | None = None, metadata: Object | None = None, **spec: Any
) -> Object:
    """Create an annotated Job as Jane; `pod` goes over its pod's spec, keywords over its own."""
    body = world.job_spec(**spec)
    body["template"]["spec"].update(pod or {})
    marks = {"tasksession.dev/policy": world.policy, "tasksession.dev/access": ACCESS, "tasksession.dev/ttl": "5m"}
    named = {"name": name} if name else {}
    return world.jane.create(
        world.path("Job"), {"metadata": {**named, "annotations": marks, **(metadata or {})}, "spec": body}
    )


def wait_active(world: World, name: str) -> str:
    """Wait until the Job's session is granted; returns its identity."""
    wait_for(lambda: world.admin.find(f"{world.sessions}/{name}"), timeout=20, what=f"the session of {name}")
    return str(world.wait_state(name, "Active")["serviceAccountName"])


def pods_of(world: World, job: str, count: int, timeout: float = 30) -> list[Object]:
    """Wait until a Job has had so many pods."""
    selector = f"batch.kubernetes.io/job-name={job}"

    def probe() -> list[Object] | None:
        pods = world.admin.list(world.path("Pod"), labelSelector=selector)
        return pods if len(pods) >= count else None

    return wait_for(probe, timeout=timeout, what=f"{count} pods of {job}")


def end_pod(world: World, pod: Object, phase: str, **status: Any) -> None:
    """Say what a kubelet would say of a pod that ended."""
    path = world.path("Pod", pod["metadata"]["name"]) + "/status"
    world.admin.patch(path, {"status": {"phase": phase, **status}})


@pytest.mark.parametrize(
    "spec",
    [{"parallelism": 3, "completions": 3}, {"parallelism": 2, "completions": 2, "completionMode": "Indexed"}],
    ids=["parallel", "indexed"],
)
def test_all_pods_of_a_job_are_one_identity(world: World, operator: OperatorProcess, spec: Object) -> None:
    """Parallel and indexed Jobs: every pod runs as the session, which ends with the last of them."""
    create(world, "many", **spec)
    identity = wait_active(world, "many")
    pods = pods_of(world, "many", spec["parallelism"])
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {identity}
    assert all(pod["metadata"]["name"].startswith("tasksession-many") for pod in pods)
    end_pod(world, pods[0], "Succeeded")
    wait_for(lambda: world.admin.get(world.path("Job", "many"))["status"].get("succeeded"), timeout=10, what="one done")
    assert world.has_rights(identity)
    for pod in pods[1:]:
        end_pod(world, pod, "Succeeded")
    world.wait_state("many", "Completed")
    world.wait_refused(identity)


def test_a_retried_pod_is_the_same_identity(world: World, operator: OperatorProcess) -> None:
    """backoffLimit: while the session lives, the next pod runs as it too; when the limit is reached it has failed."""
    create(world, "again", backoffLimit=1)
    identity = wait_active(world, "again")
    [first] = pods_of(world, "again", 1)
    end_pod(world, first, "Failed")
    pods = pods_of(world, "again", 2, timeout=45)
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {identity}
    assert world.status("again")["state"] == "Active"
    second = next(pod for pod in pods if pod["metadata"]["uid"] != first["metadata"]["uid"])
    end_pod(world, second, "Failed")
    assert world.wait_state("again", "Failed")["endReason"] == "JobFailed"
    world.wait_refused(identity)


def test_a_pod_failure_policy_fails_the_session_at_once(world: World, operator: OperatorProcess) -> None:
    """podFailurePolicy FailJob: the first ending condition ends the rights, whatever is left of backoffLimit."""
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "task", "operator": "In", "values": [42]}}
    create(world, "strict", backoffLimit=5, podFailurePolicy={"rules": [rule]})
    identity = wait_active(world, "strict")
    [pod] = pods_of(world, "strict", 1)
    ended = {"name": "task", "image": "task", "imageID": "", "ready": False, "restartCount": 0,
             "state": {"terminated": {"exitCode": 42}}}  # fmt: skip
    end_pod(world, pod, "Failed", containerStatuses=[ended])
    world.wait_state("strict", "Failed")
    world.wait_refused(identity)


def test_a_generated_name_is_the_sessions_name(world: World, operator: OperatorProcess) -> None:
    """generateName: the session has the name that the API server made."""
    made = create(world, "", metadata={"generateName": "import-"})
    name = made["metadata"]["name"]
    assert name.startswith("import-")
    wait_active(world, name)


def test_a_jobs_own_volumes_and_sidecars_stay(world: World, operator: OperatorProcess) -> None:
    """Volumes of its own, automount set, a sidecar: all keep what they had, and all have the session's token."""
    mount = {"name": "cache", "mountPath": "/cache"}
    create(
        world,
        "rich",
        pod={
            "automountServiceAccountToken": True,
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "initContainers": [{"name": "sidecar", "image": "sidecar", "restartPolicy": "Always"}],
            "containers": [{"name": "task", "image": "task", "volumeMounts": [mount]}],
        },
    )
    wait_active(world, "rich")
    [pod] = pods_of(world, "rich", 1)
    containers = pod["spec"]["containers"] + pod["spec"]["initContainers"]
    mounts = {each["name"]: {m["mountPath"] for m in each["volumeMounts"]} for each in containers}
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert mounts == {"task": {"/cache", token}, "sidecar": {token}}
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == {"cache", "tasksession"}


@pytest.mark.parametrize("suspend", [True, False])
def test_suspend_in_the_manifest_has_no_effect(world: World, operator: OperatorProcess, suspend: bool) -> None:
    """A Job of a session starts when its session is granted, whatever its author wrote."""
    create(world, "eager", suspend=suspend)
    wait_active(world, "eager")
    wait_for(lambda: not world.admin.get(world.path("Job", "eager"))["spec"]["suspend"], timeout=10, what="the release")


def test_an_authors_own_deadline_counts_first(world: World, operator: OperatorProcess) -> None:
    """activeDeadlineSeconds shorter than the session: it stays as written, and the Job's failure is the session's."""
    create(world, "short", activeDeadlineSeconds=3)
    wait_active(world, "short")
    assert world.admin.get(world.path("Job", "short"))["spec"]["activeDeadlineSeconds"] == 3
    assert world.wait_state("short", "Failed", timeout=30)["endReason"] == "JobFailed"


def test_an_authors_deadline_beyond_the_session_is_denied(world: World, operator: OperatorProcess) -> None:
    """activeDeadlineSeconds longer than the session has: denied, with the two figures."""
    create(world, "long", activeDeadlineSeconds=3600)
    wait_for(lambda: world.admin.find(f"{world.sessions}/long"), timeout=20, what="the session")
    assert world.wait_state("long", "Denied")["endReason"] == "InvalidJob"
    assert "3600" in world.ready("long")["message"]


MANIFEST = """
apiVersion: batch/v1
kind: Job
metadata:
  name: applied
  namespace: {namespace}
  annotations:
    tasksession.dev/policy: {policy}
    tasksession.dev/ttl: {ttl}
    tasksession.dev/access: |
      {access}
spec:
  backoffLimit: 0
  {spec}
  template:
    spec:
      restartPolicy: Never
      {pod}
      terminationGracePeriodSeconds: 1
      containers: [{{name: task, image: task}}]
"""


def manifest(world: World, *, spec: str = "", pod: str = "", **changes: str) -> str:
    """Return what Jane keeps in Git."""
    values = {"policy": world.policy, "ttl": "5m", "access": ACCESS, **changes}
    return MANIFEST.format(namespace=world.namespace, spec=spec, pod=pod, **values)


@pytest.fixture
def jane(world: World, operator_cluster: Cluster) -> Person:
    """Return Jane with kubectl."""
    return Person(operator_cluster, "jane")


def _force(how: str) -> list[str]:
    # Before the release and after it, someone else than kubectl has written suspend: who applies has to insist.
    return ["apply", "--server-side", "--force-conflicts"] if how == "server-side" else ["apply"]


@pytest.mark.parametrize("how", ["client-side", "server-side"])
@pytest.mark.parametrize("spec", ["suspend: true", "suspend: false", "activeDeadlineSeconds: 120", ""])
def test_a_manifest_is_applied_again_without_effect(
    world: World, operator: OperatorProcess, jane: Person, how: str, spec: str
) -> None:
    """Applied before the release, after it, and again: the Job runs once, in one session, undisturbed."""
    policy = f"/apis/tasksession.dev/v1alpha1/sessionpolicies/{world.policy}"
    world.admin.delete(policy)
    text = manifest(world, spec=spec)
    jane.kubectl(*_force(how), "-f", "-", given=text)
    wait_for(lambda: world.admin.find(f"{world.sessions}/applied"), timeout=20, what="the session")
    world.wait_reason("applied", "PolicyNotFound")
    jane.kubectl(*_force(how), "-f", "-", given=text)
    assert world.admin.get(world.path("Job", "applied"))["spec"]["suspend"] is True
    world.set_policy()
    wait_active(world, "applied")
    wait_for(
        lambda: not world.admin.get(world.path("Job", "applied"))["spec"]["suspend"], timeout=10, what="the release"
    )
    before = world.admin.get(world.path("Job", "applied"))
    for _ in range(2):
        jane.kubectl(*_force(how), "-f", "-", given=text)
    after = world.admin.get(world.path("Job", "applied"))
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert len(world.admin.list(world.sessions)) == 1


def test_a_stopped_job_is_not_revived_by_applying_it_again(
    world: World, operator: OperatorProcess, jane: Person
) -> None:
    """After a stop, a manifest with another activeDeadlineSeconds is refused, with what to do instead."""
    text = manifest(world, spec="activeDeadlineSeconds: 120")
    jane.kubectl("apply", "-f", "-", given=text)
    wait_active(world, "applied")
    world.revoke("applied")
    world.wait_state("applied", "Revoked")
    assert "create a new Job for a new session" in jane.refused("apply", "-f", "-", given=text)


def test_what_a_user_reads_when_refused(world: World, operator: OperatorProcess, jane: Person) -> None:
    """A Job with an identity of its own, and one of somebody without `use`, are refused at once, in a sentence."""
    words = jane.refused("apply", "-f", "-", given=manifest(world, pod="serviceAccountName: deployer"))
    assert "leave serviceAccountName out" in words
    world.take_use()

    def refused() -> str | None:
        try:
            world.jane.create(world.path("Job"), {"metadata": {"name": "probe", "annotations": {
                "tasksession.dev/policy": world.policy}}, "spec": world.job_spec()}, dryRun="All")  # fmt: skip
        except ApiError as error:
            return error.message
        return None

    wait_for(refused, timeout=10, what="the loss of use to be known")
    words = jane.refused("apply", "-f", "-", given=manifest(world))
    assert f"jane may not use SessionPolicy {world.policy}" in words


def test_describe_job_is_enough(world: World, operator: OperatorProcess, jane: Person) -> None:
    """A denied Job: `kubectl describe job` says why it does not start, and what to do."""
    jane.kubectl("apply", "-f", "-", given=manifest(world, ttl="23h"))
    wait_for(
        lambda: "allows 30m at most" in jane.kubectl("describe", "job", "-n", world.namespace, "applied"),
        timeout=20, what="the reason in kubectl describe", interval=0.5,
    )  # fmt: skip
    assert "Denied" in jane.kubectl("get", "ts", "-n", world.namespace, "applied")
