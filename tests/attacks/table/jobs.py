"""Attacks by what a Job brings along, and on a Job that waits or runs as a session's."""

from typing import Any

from tasksession.api import names
from tests.attacks.attack import Attacker, Table, Threat, controller_refused, guard, harm, kubernetes, rbac
from tests.attacks.stage import DAY, Stage
from tests.cluster.api import Object
from tests.support.scene import ASKS, POD_SPEC, job_manifest

TABLE = Table[Stage]()
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
FROZEN = guard("job-edit", status=422, words="may not edit the Job of a session")
MARKS = guard("job-edit", status=422, words="tasksession.dev/")


def shape(words: str) -> Any:
    """Return what refuses a Job of the wrong shape."""
    return guard("job-shape", status=422, words=words)


def asks(stage: Stage, *, pod: Object | None = None, spec: Object | None = None, **metadata: Any) -> Object:
    """Create, as alice, a Job that asks for a session, with something in it, and return the Job."""
    body = job_manifest(stage.name, annotations=ASKS, pod=pod)
    for key, value in metadata.items():
        merged = {**body["metadata"].get(key, {}), **value} if isinstance(value, dict) else value
        body["metadata"][key] = merged
    body["spec"] |= spec or {}
    return stage.alice.create(stage.scene.batch("jobs"), body)


def projects(source: Object) -> Object:
    """Return the part of a pod's spec with a volume of one projected source."""
    return {"volumes": [{"name": "own", "projected": {"sources": [source]}}]}


@TABLE.attack(Attacker.REQUESTER, Threat.LONG_GRACE, shape("set terminationGracePeriodSeconds to 60 or less"))
def a_job_asks_for_a_day_of_grace(stage: Stage) -> None:
    """alice's pod takes a day to stop, and would run on after the deadline."""
    asks(stage, pod={"terminationGracePeriodSeconds": DAY})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("leave serviceAccountName out"))
def a_job_names_a_serviceaccount(stage: Stage) -> None:
    """alice has the session run as another ServiceAccount, with its standing rights."""
    asks(stage, pod={"serviceAccountName": "deployer"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("leave serviceAccountName out"))
def a_job_names_a_serviceaccount_by_the_old_field(stage: Stage) -> None:
    """alice uses the field that Kubernetes keeps for old manifests."""
    asks(stage, pod={"serviceAccount": "deployer"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("come from the session alone"))
def a_job_mounts_a_token_for_a_year(stage: Stage) -> None:
    """alice's pod has a token volume of its own, whose token lives for a year."""
    asks(stage, pod=projects({"serviceAccountToken": {"path": "t", "expirationSeconds": 365 * DAY}}))


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("come from the session alone"))
def a_job_mounts_a_token_for_another_system(stage: Stage) -> None:
    """alice's pod has a token volume of another audience."""
    asks(stage, pod=projects({"serviceAccountToken": {"path": "t", "audience": "vault"}}))


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("come from the session alone"))
def a_job_mounts_a_certificate(stage: Stage) -> None:
    """alice's pod has its kubelet ask for a certificate, which outlives pod and session."""
    certificate = {"signerName": "example.com/signer", "keyType": "ED25519", "credentialBundlePath": "c"}
    asks(stage, pod=projects({"podCertificate": certificate}))


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, kubernetes("the API server's validation", 422, "Duplicate value"))
def a_job_brings_the_sessions_volume_itself(stage: Stage) -> None:
    """alice names her own token volume like the one that admission adds, so that it passes for that."""
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 365 * DAY}}
    asks(stage, pod={"volumes": [{"name": "tasksession", "projected": {"sources": [source]}}]})


@TABLE.attack(
    Attacker.REQUESTER, Threat.SHAPE, guard("job-shape", "job-stamp", status=422, words="mount nothing else there")
)
def a_job_mounts_something_over_the_token(stage: Stage) -> None:
    """alice's container has another volume where the session's token is."""
    mount = {"name": "own", "mountPath": TOKEN_PATH}
    containers = [{"name": "task", "image": "task", "volumeMounts": [mount]}]
    asks(stage, pod={"volumes": [{"name": "own", "emptyDir": {}}], "containers": containers})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("gets its identity at release"))
def a_job_comes_with_an_identity(stage: Stage) -> None:
    """alice writes another session's identity into the template of her own Job."""
    template = {"metadata": {"annotations": {names.SERVICE_ACCOUNT_ANNOTATION: stage.identity}}, "spec": POD_SPEC}
    body = job_manifest(f"{stage.name}-own", annotations=ASKS)
    body["spec"]["template"] = template
    made = stage.alice.create(stage.scene.batch("jobs"), body)
    harm(made["spec"]["template"]["metadata"]["annotations"], "the annotation is gone")


@TABLE.attack(Attacker.REQUESTER, Threat.HELD_TIMER, shape("gets its identity at release"))
def a_job_whose_pods_bear_the_timers_label(stage: Stage) -> None:
    """alice has the Job controller make pods that a timer adopts."""
    body = job_manifest(f"{stage.name}-own", annotations=ASKS)
    body["spec"]["template"]["metadata"] = {"labels": {names.TIMER_LABEL: stage.identity}}
    stage.alice.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.REQUESTER, Threat.ORPHANED, shape("no finalizers"))
def a_job_comes_with_a_finalizer(stage: Stage) -> None:
    """alice's Job would be deleted, and be there, with all that it owns."""
    asks(stage, finalizers=["example.com/hold"])


@TABLE.attack(Attacker.REQUESTER, Threat.ORPHANED, shape("no finalizers"))
def a_job_whose_pods_have_finalizers(stage: Stage) -> None:
    """alice's pods would be deleted, and be there, with their tokens."""
    template = {"metadata": {"finalizers": ["example.com/hold"]}, "spec": POD_SPEC}
    asks(stage, spec={"template": template})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("leave spec.managedBy out"))
def a_job_is_run_by_somebody_elses_controller(stage: Stage) -> None:
    """alice has the Job run by a controller that knows no deadline."""
    asks(stage, spec={"managedBy": "example.com/other"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("either tasksession.dev/policy or tasksession.dev/session"))
def a_job_asks_and_joins_at_once(stage: Stage) -> None:
    """alice's Job asks for a session of its own and joins another."""
    asks(stage, annotations={names.SESSION_ANNOTATION: "other"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("unknown tasksession.dev/ annotation"))
def a_job_bears_an_annotation_of_the_future(stage: Stage) -> None:
    """alice writes an annotation that nobody knows, and that a later version might obey."""
    asks(stage, annotations={"tasksession.dev/approved": "true"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("labels with tasksession.dev/ are the operator's"))
def a_job_bears_the_labels_of_another_session(stage: Stage) -> None:
    """alice's Job passes itself off as a part of another session."""
    asks(stage, labels={names.SESSION_LABEL: "other"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, guard("job-stamp", status=422, words="at most 32 containers"))
def a_job_has_more_containers_than_admission_injects(stage: Stage) -> None:
    """alice's Job has so many containers that the last ones would not get the session's token but Kubernetes' own."""
    asks(stage, pod={"containers": [{"name": f"c{number}", "image": "c"} for number in range(33)]})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("tasksession.dev/access is empty or longer"))
def a_job_asks_for_a_megabyte_of_access(stage: Stage) -> None:
    """alice writes an annotation so large that whoever parses it is busy."""
    asks(stage, annotations={names.ACCESS_ANNOTATION: "#" * 100_000})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("must be a duration from 10s to 24h"))
def a_job_asks_for_a_year(stage: Stage) -> None:
    """alice asks for a session of a year."""
    asks(stage, annotations={names.TTL_ANNOTATION: "8760h"})


@TABLE.attack(Attacker.REQUESTER, Threat.SHAPE, shape("is no name"))
def a_job_names_a_policy_by_a_path(stage: Stage) -> None:
    """alice writes a path where the name of a policy belongs, to have the operator ask for something else."""
    stage.admin.create(
        stage.scene.batch("jobs"), job_manifest(stage.name, annotations={names.POLICY_ANNOTATION: "../x"})
    )


# A Job of a session that waits, or runs


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, FROZEN)
def bob_puts_the_jobs_deadline_off(stage: Stage) -> None:
    """bob gives the running Job a later deadline."""
    made = stage.bob.patch(stage.job, {"spec": {"activeDeadlineSeconds": 99999}})
    harm(made["spec"]["activeDeadlineSeconds"] == 99999, "the deadline is the same")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, FROZEN)
def bob_suspends_the_running_job(stage: Stage) -> None:
    """bob suspends the Job and resumes it, so that its deadline counts anew."""
    stage.bob.patch(stage.job, {"spec": {"suspend": True}})
    harm(not stage.bob.patch(stage.job, {"spec": {"suspend": False}})["spec"]["suspend"], "it is suspended")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, FROZEN)
def bob_has_the_job_start_more_pods(stage: Stage) -> None:
    """bob raises the Job's parallelism: more pods with the session's identity."""
    assert stage.pod
    stage.bob.patch(stage.job, {"spec": {"parallelism": 3}})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, FROZEN)
def bob_keeps_the_job_after_its_end(stage: Stage) -> None:
    """bob sets ttlSecondsAfterFinished, by which Kubernetes deletes the Job, and with it the traces."""
    stage.bob.patch(stage.job, {"spec": {"ttlSecondsAfterFinished": 0}})


@TABLE.attack(Attacker.REQUESTER, Threat.EDITED_JOB, FROZEN)
def alice_puts_her_jobs_deadline_off(stage: Stage) -> None:
    """alice, its requester, gives her running Job a later deadline."""
    stage.alice.patch(stage.job, {"spec": {"activeDeadlineSeconds": 99999}})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, MARKS)
def bob_hides_the_job_from_the_operator(stage: Stage) -> None:
    """bob takes the label off by which the operator watches the Job: it would see it deleted."""
    made = stage.bob.patch(stage.job, {"metadata": {"labels": {names.MANAGED_LABEL: None}}})
    harm(names.MANAGED_LABEL not in made["metadata"]["labels"], "the label is still there")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, MARKS)
def bob_moves_the_job_to_another_session(stage: Stage) -> None:
    """bob names another TaskSession in the Job's annotation."""
    made = stage.bob.patch(stage.job, {"metadata": {"annotations": {names.SESSION_ANNOTATION: "other"}}})
    harm(made["metadata"]["annotations"][names.SESSION_ANNOTATION] == "other", "it is the same session")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, MARKS)
def bob_raises_the_ttl_of_a_waiting_job(stage: Stage) -> None:
    """bob adds a ttl to alice's waiting Job."""
    asks(stage)
    change = {"metadata": {"annotations": {names.TTL_ANNOTATION: "24h"}}}
    stage.bob.patch(stage.scene.batch("jobs", stage.name), change)


@TABLE.attack(Attacker.REQUESTER, Threat.EDITED_JOB, MARKS)
def alice_asks_for_more_while_she_waits(stage: Stage) -> None:
    """alice adds access to her waiting Job, after somebody approved it."""
    asks(stage)
    change = {"metadata": {"annotations": {names.ACCESS_ANNOTATION: "roles: [{kind: ClusterRole, name: admin}]"}}}
    stage.alice.patch(stage.scene.batch("jobs", stage.name), change)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, FROZEN)
def bob_moves_a_waiting_job_to_a_node_of_his(stage: Stage) -> None:
    """bob gives alice's waiting Job a nodeSelector: Kubernetes lets that change while a Job is suspended."""
    asks(stage)
    change = {"spec": {"template": {"spec": {"nodeSelector": {"owner": "bob"}}}}}
    made = stage.bob.patch(stage.scene.batch("jobs", stage.name), change)
    harm(made["spec"]["template"]["spec"]["nodeSelector"], "there is no nodeSelector")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, FROZEN)
def bob_gives_a_waiting_job_an_identity(stage: Stage) -> None:
    """bob writes a live session's identity into the template of a Job that waits."""
    made = stage.alice.create(stage.scene.batch("jobs"), job_manifest(f"{stage.name}-w", annotations=ASKS))
    annotations = {names.SERVICE_ACCOUNT_ANNOTATION: stage.identity}
    change = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    changed = stage.bob.patch(stage.scene.batch("jobs", made["metadata"]["name"]), change)
    harm(changed["spec"]["template"]["metadata"]["annotations"], "there is no annotation")


@TABLE.attack(
    Attacker.EDIT, Threat.POD_AS_SESSION, controller_refused("pod-create", words="not of the session's own Job")
)
def bob_gives_his_own_job_an_identity_later(stage: Stage) -> None:
    """bob writes a live session's identity into the template of a suspended Job of his, which bears no mark."""
    name = f"{stage.name}-own"
    body = job_manifest(name)
    body["spec"]["suspend"] = True
    stage.bob.create(stage.scene.batch("jobs"), body)
    template = {"metadata": {"annotations": {names.SERVICE_ACCOUNT_ANNOTATION: stage.identity}}}
    stage.bob.patch(stage.scene.batch("jobs", name), {"spec": {"template": template}})
    stage.bob.patch(stage.scene.batch("jobs", name), {"spec": {"suspend": False}})
    pod = stage.pod_made_for("Job", name)
    harm(pod["spec"]["serviceAccountName"] == stage.identity, "the pod has another identity")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, rbac('cannot patch resource "jobs/status"'))
def bob_says_that_the_job_has_ended(stage: Stage) -> None:
    """bob writes the Job's status, so that the session ends as completed."""
    condition = {"type": "Complete", "status": "True"}
    stage.bob.patch(stage.job + "/status", {"status": {"conditions": [condition]}})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_JOB, kubernetes("the API server's validation", 422, "field is immutable"))
def an_administrator_gives_the_job_another_template(stage: Stage) -> None:
    """Whatever admission says, the template of a Job that has run cannot be changed."""
    stage.admin.patch(stage.job, {"spec": {"template": {"spec": {"containers": [{"name": "task", "image": "evil"}]}}}})
