"""Attacks with the operator's own token on Jobs and sessions, on other kinds, and on being the operator."""

from tasksession.api import names
from tests.attacks.attack import Attacker, Table, Threat, guard, harm, rbac
from tests.attacks.forging import (
    another,
    edited,
    made,
    pods,
    template_job,
    timer,
)
from tests.attacks.stage import VIEW, Stage
from tests.support.scene import ASKS, POD_SPEC, job_manifest, release, session_manifest

TABLE = Table[Stage]()


# Jobs


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, made("a Job that the operator creates has one owner"))
def the_operator_runs_a_job_of_its_own(stage: Stage) -> None:
    """The operator creates an ordinary Job."""
    stage.operator.create(stage.scene.batch("jobs"), job_manifest(stage.name))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, made("no session may be in namespace kube-system"))
def the_operator_runs_a_job_in_kube_system(stage: Stage) -> None:
    """The operator creates a timer in kube-system, beside the controllers of Kubernetes."""
    body = timer(stage, another(stage))
    body["metadata"]["namespace"] = "kube-system"
    stage.operator.create("/apis/batch/v1/namespaces/kube-system/jobs", body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, guard("job-shape", status=422, words="leave serviceAccountName"))
def the_operator_runs_a_job_as_somebody(stage: Stage) -> None:
    """The operator creates the Job of a jobTemplate with a ServiceAccount of the namespace."""
    stage.operator.create(stage.scene.batch("jobs"), template_job(stage, pod={"serviceAccountName": "deployer"}))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, pods("leave hostPath volumes out"))
def the_operator_mounts_the_host(stage: Stage) -> None:
    """The operator creates the Job of a jobTemplate that mounts the node's files."""
    volumes = [{"name": "host", "hostPath": {"path": "/"}}]
    stage.operator.create(stage.scene.batch("jobs"), template_job(stage, pod={"volumes": volumes}))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, pods("leave hostNetwork, hostPID and hostIPC out"))
def the_operator_shares_the_hosts_processes(stage: Stage) -> None:
    """The operator creates the Job of a jobTemplate that sees the node's processes."""
    stage.operator.create(stage.scene.batch("jobs"), template_job(stage, pod={"hostPID": True}))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, pods("leave privileged"))
def the_operator_runs_a_privileged_container(stage: Stage) -> None:
    """The operator creates the Job of a jobTemplate with a privileged container."""
    containers = [{"name": "task", "image": "task", "securityContext": {"privileged": True}}]
    stage.operator.create(stage.scene.batch("jobs"), template_job(stage, pod={"containers": containers}))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, made("suspended Jobs of TaskSessions"))
def the_operator_creates_a_job_for_another_session(stage: Stage) -> None:
    """The operator creates a Job that says it is of another TaskSession than the one that owns it."""
    annotations = {names.SESSION_ANNOTATION: "other"}
    stage.operator.create(stage.scene.batch("jobs"), template_job(stage, annotations=annotations))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, made("a timer has no pods"))
def the_operator_makes_a_timer_with_pods(stage: Stage) -> None:
    """The operator runs a pod under the name of a timer."""
    body = timer(stage, another(stage))
    body["spec"]["parallelism"] = 1
    stage.operator.create(stage.scene.batch("jobs"), body)


# Other people's objects


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, edited("it takes part in no session"))
def the_operator_starts_a_foreign_job(stage: Stage) -> None:
    """The operator releases a Job that its author suspended."""
    body = job_manifest(stage.name)
    body["spec"]["suspend"] = True
    stage.bob.create(stage.scene.batch("jobs"), body)
    stage.operator.patch(stage.scene.batch("jobs", stage.name), {"spec": {"suspend": False}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, guard("operator-job-delete", words="it did not create it"))
def the_operator_deletes_a_foreign_job(stage: Stage) -> None:
    """The operator deletes somebody's Job."""
    stage.bob.create(stage.scene.batch("jobs"), job_manifest(stage.name))
    stage.operator.delete(stage.scene.batch("jobs", stage.name))


@TABLE.attack(
    Attacker.OPERATOR, Threat.OPERATOR_EDITS, guard("operator-child-delete", words="it is not named like a session")
)
def the_operator_deletes_a_foreign_binding(stage: Stage) -> None:
    """The operator takes somebody's rights away."""
    body = {"metadata": {"name": stage.name}, "roleRef": VIEW, "subjects": []}
    stage.ann.create(stage.scene.rbac("rolebindings"), body)
    stage.operator.delete(stage.scene.rbac("rolebindings", stage.name))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, edited("changes nothing else in them"))
def the_operator_has_a_sessions_job_start_more(stage: Stage) -> None:
    """The operator raises the parallelism of a session's Job."""
    stage.operator.patch(stage.job, {"spec": {"parallelism": 5}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, edited("changes nothing else in them"))
def the_operator_has_a_sessions_job_start_sooner(stage: Stage) -> None:
    """The operator has a session's Job start its next pod while the last one still runs."""
    stage.operator.patch(stage.job, {"spec": {"podReplacementPolicy": "Failed"}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, edited("changes nothing else in them"))
def the_operator_has_a_sessions_job_fail_more_often(stage: Stage) -> None:
    """The operator lets more indexes of a session's Job fail before it is over."""
    body = job_manifest(stage.name, annotations=ASKS)
    body["spec"] |= {"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1, "maxFailedIndexes": 1}
    stage.alice.create(stage.scene.batch("jobs"), body)
    stage.operator.patch(stage.scene.batch("jobs", stage.name), {"spec": {"maxFailedIndexes": 2}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, edited("changes nothing else in them"))
def the_operator_annotates_a_sessions_job(stage: Stage) -> None:
    """The operator annotates a session's Job, for another controller to act on."""
    stage.operator.patch(stage.job, {"metadata": {"annotations": {"example.com/run": "x"}}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, edited("never prolongs it"))
def the_operator_prolongs_a_running_job(stage: Stage) -> None:
    """The operator gives a running Job a later deadline."""
    stage.operator.patch(stage.job, {"spec": {"activeDeadlineSeconds": 80000}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, rbac('cannot patch resource "tasksessions"'))
def the_operator_changes_what_was_asked(stage: Stage) -> None:
    """The operator writes the spec of a TaskSession."""
    stage.operator.patch(stage.session, {"spec": {"ttl": "24h"}})


@TABLE.attack(
    Attacker.OPERATOR,
    Threat.OPERATOR_EDITS,
    guard("operator-session-delete", words="removes only finished TaskSessions"),
)
def the_operator_deletes_a_live_session(stage: Stage) -> None:
    """The operator deletes a TaskSession, and with it the trace of what it granted."""
    stage.operator.delete(stage.session)


@TABLE.attack(
    Attacker.OPERATOR,
    Threat.OPERATOR_EDITS,
    guard("operator-session-create", "use", words=""),
)
def the_operator_asks_for_itself(stage: Stage) -> None:
    """The operator creates a TaskSession that no Job asked for."""
    stage.operator.create(stage.scene.sessions(), session_manifest(stage.name))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_RELEASE, edited("the identity that carries its own uid"))
def the_operator_releases_a_job_with_anothers_identity(stage: Stage) -> None:
    """The operator releases one session's Job with the identity of another."""
    identity = stage.live.identity
    second = Stage(stage.ground, f"{stage.name}-b")
    body = template_job(second)
    stage.operator.create(stage.scene.batch("jobs"), body)
    stage.operator.patch(stage.scene.batch("jobs", second.name), release(identity))


@TABLE.attack(
    Attacker.OPERATOR, Threat.OPERATOR_RELEASE, edited("the identity that carries its own uid"), also=("pod-create",)
)
def the_operator_gets_a_pod_of_anothers_identity(stage: Stage) -> None:
    """The operator releases one session's Job with the identity of another, and the pod is started."""
    identity = stage.live.identity
    second = Stage(stage.ground, f"{stage.name}-b")
    stage.operator.create(stage.scene.batch("jobs"), template_job(second))
    stage.operator.patch(stage.scene.batch("jobs", second.name), release(identity))
    pod = stage.pod_made_for("Job", second.name)
    harm(pod["spec"]["serviceAccountName"] == identity.name, "the pod has another identity")


# Other kinds


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, guard("operator-kinds", words="and nothing else"))
def the_operator_uses_its_ceiling_itself(stage: Stage) -> None:
    """The operator writes a ConfigMap, for it holds the rules that it may hand out."""
    stage.admin.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name}})
    stage.operator.patch(stage.scene.core("configmaps", stage.name), {"data": {"a": "b"}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot create resource "serviceaccounts/token"'))
def the_operator_mints_a_token_of_default(stage: Stage) -> None:
    """The operator asks for a token of somebody else's ServiceAccount."""
    stage.operator.create(stage.scene.core("serviceaccounts", "default", "token"), {"spec": {}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot create resource "serviceaccounts/token"'))
def the_operator_mints_a_token_of_the_session(stage: Stage) -> None:
    """The operator asks for a token of a session that it made."""
    stage.operator.create(stage.token, {"spec": {}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot create resource "secrets"'))
def the_operator_has_a_token_stored(stage: Stage) -> None:
    """The operator creates a Secret that Kubernetes fills with a token of anybody."""
    annotations = {"kubernetes.io/service-account.name": "default"}
    body = {"metadata": {"name": stage.name, "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    stage.operator.create(stage.scene.core("secrets"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot create resource "pods"'))
def the_operator_starts_a_pod(stage: Stage) -> None:
    """The operator starts a pod itself."""
    stage.operator.create(stage.scene.core("pods"), {"metadata": {"name": stage.name}, "spec": POD_SPEC})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot create resource "pods/exec"'))
def the_operator_enters_a_pod(stage: Stage) -> None:
    """The operator runs a shell in the session's pod."""
    stage.operator.create(stage.scene.core("pods", stage.pod, "exec"), {}, command="sh")


@TABLE.attack(
    Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot delete resource "validatingadmissionpolicybindings"')
)
def the_operator_takes_a_guard_away(stage: Stage) -> None:
    """The operator deletes the binding of a guard."""
    root = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    stage.operator.delete(f"{root}/tasksession-token")


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac('cannot patch resource "sessionpolicies"'))
def the_operator_widens_a_policy(stage: Stage) -> None:
    """The operator edits a SessionPolicy."""
    stage.operator.patch(f"/apis/{names.API_VERSION}/sessionpolicies/deploy", {"spec": {"maxTTL": "24h"}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_KINDS, rbac("impersonate"))
def the_operator_acts_as_somebody(stage: Stage) -> None:
    """The operator impersonates a requester."""
    stage.operator.as_user("alice").create(stage.scene.sessions(), session_manifest(stage.name))


# Being the operator


@TABLE.attack(Attacker.EDIT, Threat.OPERATOR_NAME, guard("operator-kinds", words="acts only with its own token"))
def an_administrator_acts_as_the_operator(stage: Stage) -> None:
    """Somebody who may impersonate everybody stops a Job as the operator."""
    impostor = stage.admin.as_service_account("tasksession-system", "tasksession-operator")
    impostor.patch(stage.job, {"spec": {"activeDeadlineSeconds": 1}})


@TABLE.attack(Attacker.EDIT, Threat.OPERATOR_NAME, rbac('cannot impersonate resource "serviceaccounts"'))
def bob_acts_as_the_operator(stage: Stage) -> None:
    """bob, who may impersonate ServiceAccounts of his namespace, tries the operator's."""
    impostor = stage.bob.as_service_account("tasksession-system", "tasksession-operator")
    impostor.patch(stage.job, {"spec": {"activeDeadlineSeconds": 1}})


@TABLE.attack(Attacker.EDIT, Threat.OPERATOR_NAME, rbac('cannot create resource "serviceaccounts/token"'))
def bob_mints_a_token_of_the_operator(stage: Stage) -> None:
    """bob asks for a token of the operator's ServiceAccount."""
    path = "/api/v1/namespaces/tasksession-system/serviceaccounts/tasksession-operator/token"
    stage.bob.create(path, {"spec": {}})
