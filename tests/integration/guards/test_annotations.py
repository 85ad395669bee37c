"""What an author may write into the annotations and the spec of an annotated Job or CronJob, and what is refused."""

import copy
import json
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.installation import InstallationError, kubectl
from tests.support.scene import ASKS, Scene, bind, job_manifest, refused

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
REQUESTED_BY = "tasksession.dev/requested-by"


def cronjob_manifest(job: Object, name: str = "nightly") -> Object:
    """Return a CronJob whose runs are like a Job."""
    template = {"metadata": {key: value for key, value in job["metadata"].items() if key != "name"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": "@yearly", "jobTemplate": {**template, "spec": job["spec"]}},
    }


@pytest.fixture(scope="module", params=["jobs", "cronjobs"])
def apply(scene: Scene, request: pytest.FixtureRequest) -> Any:
    """Return a way to dry-run a Job, or a CronJob of such Jobs, as an administrator who may use every policy."""
    kind: str = request.param

    def create(body: Object) -> Object:
        made: Object = scene.admin.create(
            scene.batch(kind), body if kind == "jobs" else cronjob_manifest(body), dryRun="All"
        )
        return made

    return create


VALUES: list[Any] = [
    ({"policy": ""}, "tasksession.dev/policy is no name"),
    ({"policy": "Deploy"}, "tasksession.dev/policy is no name"),
    ({"policy": "a b"}, "tasksession.dev/policy is no name"),
    ({"policy": "-a"}, "tasksession.dev/policy is no name"),
    ({"policy": "a" * 254}, "tasksession.dev/policy is no name"),
    ({"policy": "deploy", "ttl": ""}, "a duration from 10s to 24h"),
    ({"policy": "deploy", "ttl": "10"}, "a duration from 10s to 24h"),
    ({"policy": "deploy", "ttl": "-5m"}, "a duration from 10s to 24h"),
    ({"policy": "deploy", "ttl": "1d"}, "a duration from 10s to 24h"),
    ({"policy": "deploy", "ttl": "9s"}, "a duration from 10s to 24h"),
    ({"policy": "deploy", "ttl": "24h1ns"}, "a duration from 10s to 24h"),
    ({"policy": "deploy", "ttl": "9999999999999h"}, "ValidatingAdmissionPolicy"),
    ({"policy": "deploy", "reason": "x" * 1025}, "at most 1024 characters"),
    ({"policy": "deploy", "access": ""}, "is empty or longer than 8192"),
    ({"policy": "deploy", "access": " \n"}, "is empty or longer than 8192"),
    ({"policy": "deploy", "access": "x" * 8193}, "is empty or longer than 8192"),
    ({"policy": "deploy", "acces": "roles: []"}, "unknown tasksession.dev/ annotation"),
    ({"ttl": "5m"}, "is reserved"),
]


def asking(**annotations: str) -> Object:
    """Return a Job with tasksession.dev/ annotations."""
    return job_manifest(annotations={f"tasksession.dev/{key}": value for key, value in annotations.items()})


@pytest.mark.parametrize(("annotations", "words"), VALUES)
def test_annotations_that_ask_for_nothing_sensible_are_refused(apply: Any, annotations: Any, words: str) -> None:
    """Each is refused when it is applied, with what to write, on the Job and on the CronJob alike."""
    assert words in refused(apply, asking(**annotations))


SENSIBLE: list[dict[str, str]] = [
    {"policy": "a"},
    {"policy": "team.deploy-2"},
    {"policy": "deploy", "ttl": "10s"},
    {"policy": "deploy", "ttl": "24h"},
    {"policy": "deploy", "ttl": "1h30m"},
    {"policy": "deploy", "ttl": "1.5h"},
    {"policy": "deploy", "reason": ""},
    {"policy": "deploy", "reason": "ü" * 1024, "access": "rules: []"},
]


@pytest.mark.parametrize("annotations", SENSIBLE)
def test_annotations_that_say_something_pass(apply: Any, annotations: dict[str, str]) -> None:
    """Names, durations and texts within their limits are taken."""
    apply(asking(**annotations))


JOINING: list[Any] = [
    ({"session": ""}, "tasksession.dev/session is no name"),
    ({"session": "A"}, "tasksession.dev/session is no name"),
    ({"session": "a" * 64}, "tasksession.dev/session is no name"),
    ({"session": "a", "ttl": "5m"}, "asks for nothing itself"),
    ({"session": "a", "access": "rules: []"}, "asks for nothing itself"),
]


@pytest.mark.parametrize(("annotations", "words"), JOINING)
def test_a_job_that_joins_names_its_session_only(scene: Scene, annotations: Any, words: str) -> None:
    """The name must be one that a TaskSession can have, and what is asked for stands there."""
    assert words in refused(scene.alice.create, scene.batch("jobs"), asking(**annotations), dryRun="All")


def pod(**spec: Any) -> Object:
    """Return an annotated Job with fields of its pod's spec."""
    return job_manifest(annotations=ASKS, pod=spec)


def spec(**fields: Any) -> Object:
    """Return an annotated Job with fields of its spec."""
    body = job_manifest(annotations=ASKS)
    body["spec"] |= fields
    return body


def mounted(path: str) -> Object:
    """Return an annotated Job that mounts a volume of its own at a path."""
    mounts = [{"name": "own", "mountPath": path}]
    return pod(
        volumes=[{"name": "own", "emptyDir": {}}],
        containers=[{"name": "task", "image": "task", "volumeMounts": mounts}],
    )


FAILURE_POLICY = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]}

ORDINARY_SHAPES: list[Any] = [
    pytest.param(spec(ttlSecondsAfterFinished=0), id="removes-itself"),
    pytest.param(spec(completionMode="Indexed", completions=5, parallelism=2), id="indexed"),
    pytest.param(spec(completions=5, parallelism=5), id="parallel"),
    pytest.param(spec(podFailurePolicy=FAILURE_POLICY), id="failure-policy"),
    pytest.param(spec(backoffLimit=10), id="retries"),
    pytest.param(spec(completionMode="Indexed", completions=2, backoffLimitPerIndex=1), id="retries-by-index"),
    pytest.param(spec(activeDeadlineSeconds=60), id="deadline"),
    pytest.param(spec(suspend=True), id="suspended"),
    pytest.param(spec(suspend=False), id="not-suspended"),
    pytest.param(spec(podReplacementPolicy="Failed"), id="replacement"),
    pytest.param(
        pod(initContainers=[{"name": "sidecar", "image": "sidecar", "restartPolicy": "Always"}]), id="sidecar"
    ),
    pytest.param(pod(automountServiceAccountToken=True), id="automount"),
    pytest.param(pod(automountServiceAccountToken=False), id="no-automount"),
    pytest.param(pod(terminationGracePeriodSeconds=60), id="grace"),
    pytest.param(mounted("/cache"), id="volume"),
    pytest.param(mounted(f"{TOKEN_PATH}-other"), id="volume-beside-the-token"),
]


@pytest.mark.parametrize("body", ORDINARY_SHAPES)
def test_what_ordinary_jobs_have_passes(apply: Any, body: Object) -> None:
    """Retries, indices, sidecars, volumes, deadlines: an annotated Job has what an ordinary one may have."""
    apply(body)


WRONG_SHAPES: list[Any] = [
    (pod(serviceAccountName="deployer"), "leave serviceAccountName out"),
    (pod(terminationGracePeriodSeconds=3600), "set terminationGracePeriodSeconds to 60 or less"),
    (spec(managedBy="example.com/other"), "leave spec.managedBy out"),
    (mounted(TOKEN_PATH), "TOKEN"),
    (mounted(f"{TOKEN_PATH}/more"), "mount nothing else there"),
    (pod(containers=[{"name": f"c{i}", "image": "c"} for i in range(33)]), "32"),
    (pod(volumes=[{"name": "tasksession", "emptyDir": {}}]), "tasksession"),
]


@pytest.mark.parametrize(("body", "words"), WRONG_SHAPES)
def test_a_cronjob_whose_runs_would_be_refused_is_refused(apply: Any, body: Object, words: str) -> None:
    """What no run could have is told to who applies the CronJob, as it is told to who applies a Job."""
    assert words.replace("TOKEN", TOKEN_PATH) in refused(apply, body)


def test_a_cronjob_does_not_join_a_session(scene: Scene) -> None:
    """A TaskSession is one session, so a CronJob's runs cannot share it."""
    body = cronjob_manifest(asking(session="deploy-1"))
    assert "each run of a CronJob is a session of its own" in refused(scene.admin.create, scene.batch("cronjobs"), body)


def test_annotations_in_the_wrong_place_are_pointed_out(scene: Scene) -> None:
    """On the CronJob itself, or on a pod template, they would do nothing: refused, with where they belong."""
    misplaced = cronjob_manifest(job_manifest())
    misplaced["metadata"]["annotations"] = ASKS
    words = refused(scene.bob.create, scene.batch("cronjobs"), misplaced)
    assert "move tasksession.dev/ annotations to spec.jobTemplate.metadata.annotations" in words
    scene.bob.create(scene.batch("cronjobs"), cronjob_manifest(job_manifest(), "plain"))
    late = {"metadata": {"annotations": ASKS}}
    assert "spec.jobTemplate.metadata" in refused(scene.bob.patch, scene.batch("cronjobs", "plain"), late)
    body = job_manifest()
    body["spec"]["template"]["metadata"] = {"annotations": ASKS}
    for kind, manifest in (("jobs", body), ("cronjobs", cronjob_manifest(body))):
        words = refused(scene.bob.create, scene.batch(kind), copy.deepcopy(manifest))
        assert "annotate the Job's own metadata" in words


def test_names_may_be_generated(scene: Scene) -> None:
    """`generateName` makes an annotated Job as any other; the reserved names stay the operator's."""
    body = job_manifest(annotations=ASKS)
    body["metadata"]["generateName"] = "task-"
    del body["metadata"]["name"]
    made = scene.alice.create(scene.batch("jobs"), body)
    assert made["metadata"]["name"].startswith("task-")
    assert made["spec"]["suspend"] is True
    body["metadata"]["generateName"] = "ts-11111111-2222-3333-4444-555555555555-200000000"
    assert "this name is reserved for sessions" in refused(scene.alice.create, scene.batch("jobs"), body)


def test_who_starts_a_cronjob_by_hand_is_the_requester(guarded_cluster: Cluster, scene: Scene) -> None:
    """`kubectl create job --from` copies the author's stamp: admission puts the person's there, who needs `use`."""
    body = cronjob_manifest(job_manifest(annotations=ASKS), "by-hand")
    made = scene.alice.create(scene.batch("cronjobs"), body)
    assert made["spec"]["jobTemplate"]["metadata"]["annotations"][REQUESTED_BY] == "alice"
    bind(scene.admin, scene.namespace, "robin-uses", role="use-deploy", user="robin")
    bind(scene.admin, scene.namespace, "robin-runs", role="edit", user="robin")
    arguments = ("--from=cronjob/by-hand", "--namespace", scene.namespace)
    kubectl(guarded_cluster, "create", "job", "robins", *arguments, "--as=robin", "--as-group=people")
    job = scene.admin.get(scene.batch("jobs", "robins"))
    assert job["metadata"]["annotations"][REQUESTED_BY] == "robin"
    assert job["metadata"]["annotations"]["tasksession.dev/requested-by-groups"] == "people\nsystem:authenticated"
    assert job["spec"]["suspend"] is True
    with pytest.raises(InstallationError, match="bob may not use SessionPolicy deploy"):
        kubectl(guarded_cluster, "create", "job", "bobs", *arguments, "--as=bob")


def test_a_cronjob_applied_again_keeps_its_requester(guarded_cluster: Cluster, scene: Scene) -> None:
    """An unchanged manifest, applied by whoever, changes nothing; a changed one is its writer's."""
    bind(scene.admin, scene.namespace, "rita-uses", role="use-deploy", user="rita")
    bind(scene.admin, scene.namespace, "rita-edits", role="edit", user="rita")
    for name, options in (("client", []), ("server", ["--server-side", "--force-conflicts"])):
        manifest = cronjob_manifest(job_manifest(annotations=ASKS), f"applied-{name}")
        path = scene.batch("cronjobs", f"applied-{name}")

        def apply(person: str, body: Object, arguments: list[str] = options) -> None:
            own = ("--namespace", scene.namespace, f"--as={person}", "-f", "-")
            kubectl(guarded_cluster, "apply", *arguments, *own, given=json.dumps(body))

        apply("alice", manifest)
        apply("rita", manifest)
        stamp = scene.admin.get(path)["spec"]["jobTemplate"]["metadata"]["annotations"]
        assert stamp[REQUESTED_BY] == "alice"
        manifest["spec"]["schedule"] = "@daily"
        apply("rita", manifest)
        stamp = scene.admin.get(path)["spec"]["jobTemplate"]["metadata"]["annotations"]
        assert stamp[REQUESTED_BY] == "rita"
