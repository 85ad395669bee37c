"""Jobs that ask for a session or take part in one: stamped, injected, and of a shape that can be ended."""

from typing import Any

import pytest

from tests.cluster import Api, Cluster
from tests.cluster.api import Object
from tests.support.scene import ASKS, POD_SPEC, LiveSession, Scene, bind, job_manifest, refused

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = {
    "name": "tasksession",
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 600, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    },
}
TOKEN_MOUNT = {"name": "tasksession", "mountPath": TOKEN_PATH, "readOnly": True}


def dry_run(api: Any, scene: Scene, body: Object) -> Object:
    """Create a Job without keeping it and return what it would have been."""
    made: Object = api.create(scene.batch("jobs"), body, dryRun="All")
    return made


def test_an_annotated_job_is_stamped_suspended_and_injected(scene: Scene) -> None:
    """Everything that is put into a Job, in all its containers; what the author wrote stays."""
    volume, mount = {"name": "cache", "emptyDir": {}}, {"name": "cache", "mountPath": "/cache"}
    body = job_manifest(
        annotations={**ASKS, "tasksession.dev/requested-by": "root"},
        pod={
            "initContainers": [{"name": f"init-{i}", "image": "i"} for i in range(3)],
            "containers": [{"name": f"task-{i}", "image": "i"} for i in range(31)]
            + [{"name": "last", "image": "i", "volumeMounts": [mount]}],
            "volumes": [volume],
            "automountServiceAccountToken": True,
            "enableServiceLinks": True,
        },
    )
    body["spec"]["suspend"] = False
    made = dry_run(scene.alice, scene, body)
    pod = made["spec"]["template"]["spec"]
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["tasksession.dev/managed"] == "true"
    assert {key: value for key, value in made["metadata"]["annotations"].items() if "requested" in key} == {
        "tasksession.dev/requested-by": "alice",
        "tasksession.dev/requested-by-uid": "uid-alice",
        "tasksession.dev/requested-by-groups": "people\nsystem:authenticated",
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["volumes"] == [volume, TOKEN_VOLUME]
    assert [each["volumeMounts"] for each in pod["initContainers"]] == [[TOKEN_MOUNT]] * 3
    assert [each["volumeMounts"] for each in pod["containers"]] == [[TOKEN_MOUNT]] * 31 + [[mount, TOKEN_MOUNT]]


def test_a_job_that_joins_a_session_is_injected_too(scene: Scene) -> None:
    """The annotation `session` acts like `policy`, but needs no `use`: that is asked of the TaskSession."""
    made = dry_run(scene.bob, scene, job_manifest(annotations={"tasksession.dev/session": "deploy-1"}))
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["annotations"]["tasksession.dev/requested-by"] == "bob"


def test_an_annotated_job_needs_use(scene: Scene) -> None:
    """bob, with `edit` but without `use`, is refused when he creates the Job."""
    words = refused(dry_run, scene.bob, scene, job_manifest(annotations=ASKS))
    assert "bob may not use SessionPolicy deploy" in words


def test_a_run_of_a_cronjob_keeps_its_authors_stamp(scene: Scene) -> None:
    """The CronJob controller's Job bears the stamp of the CronJob; without one it is the controller's own."""
    controller = scene.admin.as_service_account("kube-system", "cronjob-controller")
    stamped = {**ASKS, "tasksession.dev/requested-by": "alice"}
    made = dry_run(controller, scene, job_manifest(annotations=stamped))
    assert made["metadata"]["annotations"]["tasksession.dev/requested-by"] == "alice"
    made = dry_run(controller, scene, job_manifest(annotations=ASKS))
    own = "system:serviceaccount:kube-system:cronjob-controller"
    assert made["metadata"]["annotations"]["tasksession.dev/requested-by"] == own


def test_a_cronjob_is_stamped_by_its_last_writer(scene: Scene) -> None:
    """A forged stamp is overwritten, a change by somebody else is theirs, and both need `use`."""
    requester = "tasksession.dev/requested-by"
    template = {"metadata": {"annotations": {**ASKS, requester: "root"}}, "spec": {"template": {"spec": POD_SPEC}}}
    body: Object = {"metadata": {"name": "nightly"}, "spec": {"schedule": "@daily", "jobTemplate": template}}
    assert "bob may not use SessionPolicy deploy" in refused(scene.bob.create, scene.batch("cronjobs"), body)
    made = scene.admin.create(scene.batch("cronjobs"), body)
    stamp = made["spec"]["jobTemplate"]["metadata"]["annotations"]
    assert stamp[requester] == scene.admin.create(WHO_AM_I, {})["status"]["userInfo"]["username"]
    path = scene.batch("cronjobs", "nightly")
    assert "bob may not use SessionPolicy deploy" in refused(scene.bob.patch, path, {"spec": {"suspend": True}})
    scene.bob.patch(path, {"metadata": {"labels": {"a": "b"}}})
    bind(scene.admin, scene.namespace, "bob-uses", role="use-deploy", user="robin")
    bind(scene.admin, scene.namespace, "robin-edits", role="edit", user="robin")
    changed = scene.admin.as_user("robin").patch(path, {"spec": {"suspend": True}})
    assert changed["spec"]["jobTemplate"]["metadata"]["annotations"][requester] == "robin"


def projected(source: Object) -> Object:
    """Return a pod's volume of one projected source."""
    return {"volumes": [{"name": "own", "projected": {"sources": [source]}}]}


SHAPES: list[Any] = [
    ({"terminationGracePeriodSeconds": 86400}, "set terminationGracePeriodSeconds to 60 or less"),
    (
        {
            "containers": [
                {
                    "name": "c",
                    "image": "c",
                    "livenessProbe": {"terminationGracePeriodSeconds": 86400, "exec": {"command": ["x"]}},
                }
            ]
        },
        "of probes to 60 or less",
    ),
    ({"serviceAccountName": "deployer"}, "leave serviceAccountName out"),
    (projected({"serviceAccountToken": {"path": "t", "expirationSeconds": 31536000}}), "come from the session alone"),
    (projected({"serviceAccountToken": {"path": "t", "audience": "vault"}}), "come from the session alone"),
    (
        projected(
            {"podCertificate": {"signerName": "example.com/signer", "keyType": "ED25519", "credentialBundlePath": "c"}}
        ),
        "come from the session alone",
    ),
    (
        {
            "volumes": [{"name": "own", "emptyDir": {}}],
            "containers": [{"name": "c", "image": "c", "volumeMounts": [{"name": "own", "mountPath": TOKEN_PATH}]}],
        },
        "mount nothing else there",
    ),
    ({"containers": [{"name": f"c{i}", "image": "c"} for i in range(33)]}, "32"),
]


@pytest.mark.parametrize(("pod", "words"), SHAPES)
def test_a_sessions_pods_bring_nothing_of_their_own(scene: Scene, pod: Object, words: str) -> None:
    """Overlong grace, other identities, other tokens and other mounts are refused when the Job is created."""
    found = refused(dry_run, scene.alice, scene, job_manifest(annotations=ASKS, pod=pod))
    assert words in found or "every container of a session's Job" in found


METADATA: list[Any] = [
    ({"finalizers": ["example.com/hold"]}, {}, "no finalizers"),
    ({"annotations": {"tasksession.dev/session": "deploy-1"}}, {}, "either tasksession.dev/policy or"),
    ({"annotations": {"tasksession.dev/tll": "5m"}}, {}, "unknown tasksession.dev/ annotation"),
    ({"labels": {"tasksession.dev/session": "deploy-1"}}, {}, "the operator's"),
    ({}, {"annotations": {"tasksession.dev/service-account": "ts-x"}}, "gets its identity at release"),
    ({}, {"labels": {"tasksession.dev/timer": "x"}}, "tasksession.dev/"),
    ({}, {"finalizers": ["example.com/hold"]}, "no finalizers"),
]


@pytest.mark.parametrize(("own", "template", "words"), METADATA)
def test_a_sessions_job_is_not_marked_by_hand(scene: Scene, own: Object, template: Object, words: str) -> None:
    """Finalizers, preset identities and reserved marks are refused when the Job is created."""
    body = job_manifest(annotations=ASKS)
    for key, value in own.items():
        body["metadata"][key] = {**body["metadata"].get(key, {}), **value} if isinstance(value, dict) else value
    body["spec"]["template"]["metadata"] = template
    assert words in refused(dry_run, scene.alice, scene, body)


def test_a_sessions_job_is_run_by_the_job_controller(scene: Scene) -> None:
    """`managedBy` would switch off the deadline."""
    body = job_manifest(annotations=ASKS)
    body["spec"]["managedBy"] = "example.com/other"
    assert "leave spec.managedBy out" in refused(dry_run, scene.alice, scene, body)


def test_marks_without_a_request_are_refused(scene: Scene) -> None:
    """A Job that bears a stamp or the operator's label but asks for nothing is refused: it could be turned later."""
    stamp = {"tasksession.dev/requested-by": "alice"}
    assert "is reserved" in refused(dry_run, scene.bob, scene, job_manifest(annotations=stamp))
    labelled = job_manifest()
    labelled["metadata"]["labels"] = {"tasksession.dev/managed": "true"}
    assert "is reserved" in refused(dry_run, scene.bob, scene, labelled)


EDITS: list[Any] = [
    {"metadata": {"annotations": {"tasksession.dev/requested-by": "ann"}}},
    {"metadata": {"annotations": {"tasksession.dev/ttl": ""}}},
    {"metadata": {"labels": {"tasksession.dev/managed": None}}},
    {"metadata": {"finalizers": ["example.com/hold"]}},
    {"metadata": {"ownerReferences": None}},
    {"spec": {"suspend": True}},
    {"spec": {"activeDeadlineSeconds": 99999}},
    {"spec": {"parallelism": 3}},
    {"spec": {"ttlSecondsAfterFinished": 1}},
]


@pytest.mark.parametrize("change", EDITS)
def test_nobody_edits_a_sessions_job(scene: Scene, live: LiveSession, change: Object) -> None:
    """Neither `edit` nor `admin` of the namespace changes the Job of a session."""
    for person in (scene.bob, scene.ann):
        words = refused(person.patch, scene.batch("jobs", "deploy-1"), change)
        assert "tasksession-job-edit" in words


def test_other_marks_on_a_sessions_job_stay_free(scene: Scene, live: LiveSession) -> None:
    """Labels and annotations of others can be set on a session's Job."""
    scene.bob.patch(scene.batch("jobs", "deploy-1"), {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})


def test_an_ordinary_job_does_not_become_a_sessions(scene: Scene) -> None:
    """The annotation on a Job that exists already is refused: its requester was never stamped."""
    scene.bob.create(
        scene.batch("jobs"), {"metadata": {"name": "late"}, "spec": {"suspend": True, "template": {"spec": POD_SPEC}}}
    )
    for value in ("deploy", ""):
        late = {"metadata": {"annotations": {"tasksession.dev/policy": value}}}
        assert "set when a Job is created" in refused(scene.bob.patch, scene.batch("jobs", "late"), late)


@pytest.mark.parametrize("kind", ["jobs", "cronjobs"])
def test_a_group_with_a_newline_asks_for_nothing(guarded_cluster: Cluster, scene: Scene, kind: str) -> None:
    """Groups are joined by newlines in the stamp: one that holds one would be read as two, and so become another's."""
    bind(scene.admin, scene.namespace, f"eve-{kind}-uses", role="use-deploy", user="eve")
    bind(scene.admin, scene.namespace, f"eve-{kind}-edits", role="edit", user="eve")
    eve = Api.from_kubeconfig(guarded_cluster.issue_client_certificate("eve", ["people\nsystem:masters"]))
    job = job_manifest(annotations=ASKS)
    template = {"metadata": {"annotations": ASKS}, "spec": job["spec"]}
    body = (
        job if kind == "jobs" else {"metadata": {"name": "x"}, "spec": {"schedule": "@daily", "jobTemplate": template}}
    )
    assert "has a newline in its name" in refused(eve.create, scene.batch(kind), body, dryRun="All")
