"""Attacks with the operator's own token, by hand: everything that it can be made to do once it is taken over."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.access import RoleReference
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.observed import ObservedJob
from tests.attacks.attack import Attacker, Mechanism, Table, Threat, guard, harm, rbac
from tests.attacks.stage import RBAC, VIEW, Stage
from tests.cluster.api import Object
from tests.support.scene import POD_SPEC, job_manifest, release, session_manifest

TABLE = Table[Stage]()
UID = "00000000-0000-0000-0000-000000000000"
HOURS_25 = timedelta(hours=25)


def children(words: str) -> Mechanism:
    """Return the guard on what a session consists of."""
    return guard("operator-children", words=words)


def jobs(words: str) -> Mechanism:
    """Return the guard on the operator's Jobs."""
    return guard("operator-jobs", words=words)


def pods(words: str) -> Mechanism:
    """Return the guard on the pods of the operator's Jobs."""
    return guard("operator-pods", status=422, words=("baseline Pod Security Standard", words))


def another(stage: Stage, *, lasts: timedelta = timedelta(minutes=4)) -> names.Identity:
    """Return one more identity of the session's Job, so that names do not collide."""
    return names.Identity(stage.live.identity.uid, int((datetime.now(UTC) + lasts).timestamp()))


def account(stage: Stage, **metadata: Any) -> Object:
    """Return a ServiceAccount as the operator makes it, with something changed in its metadata."""
    made = copy.deepcopy(manifests.service_account(stage.live.session, another(stage), UID))
    return {**made, "metadata": {**made["metadata"], **metadata}}


def binding(stage: Stage, role: str = "view", *, suffix: str = "-1") -> Object:
    """Return a RoleBinding as the operator makes it."""
    identity = another(stage)
    reference = RoleReference(kind="ClusterRole", name=role)
    name = identity.name + suffix
    return copy.deepcopy(manifests.role_binding(stage.live.session, identity, UID, name, reference))


def template_job(stage: Stage, *, pod: Object | None = None, **metadata: Any) -> Object:
    """Return the Job of a jobTemplate as the operator makes it, under a name of its own."""
    session = TaskSession.model_validate(stage.alice.create(stage.scene.sessions(), session_manifest(stage.name)))
    made = copy.deepcopy(manifests.job(session))
    made["metadata"] |= metadata
    made["spec"]["template"]["spec"] |= pod or {}
    return made


def timer(stage: Stage, identity: names.Identity) -> Object:
    """Return a timer as the operator makes it."""
    owner = ObservedJob.from_object(stage.live.job)
    return copy.deepcopy(manifests.timer(stage.live.session, owner, identity, datetime.now(UTC)))


# Granting


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, rbac(escalation=True))
def the_operator_binds_cluster_admin(stage: Stage) -> None:
    """The operator binds cluster-admin to a session: it may bind the ceiling's roles only."""
    stage.operator.create(stage.scene.rbac("rolebindings"), binding(stage, "cluster-admin"))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, rbac(escalation=True))
def the_operator_writes_a_role_beyond_its_rules(stage: Stage) -> None:
    """The operator writes a Role with rules that it does not hold."""
    identity = another(stage)
    body = manifests.role(stage.live.session, identity, UID, ())
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    stage.operator.create(stage.scene.rbac("roles"), {**body, "rules": rules})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, rbac('cannot create resource "clusterrolebindings"'))
def the_operator_binds_for_the_whole_cluster(stage: Stage) -> None:
    """The operator creates a ClusterRoleBinding."""
    stage.operator.create(f"/apis/{RBAC}/v1/clusterrolebindings", binding(stage))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, children("no session may be in namespace kube-system"))
def the_operator_grants_in_kube_system(stage: Stage) -> None:
    """The operator binds the role view in kube-system, whose Secrets and ConfigMaps are the cluster's."""
    body = binding(stage)
    body["metadata"]["namespace"] = "kube-system"
    body["subjects"][0]["namespace"] = "kube-system"
    stage.operator.create(f"/apis/{RBAC}/v1/namespaces/kube-system/rolebindings", body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, rbac('cannot patch resource "roles"'))
def the_operator_widens_a_role(stage: Stage) -> None:
    """The operator edits the Role of a live session."""
    stage.operator.patch(stage.scene.rbac("roles", stage.identity), {"rules": []})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, children("binds the session's own Role"))
def the_operator_hides_a_role_behind_the_inline_rules(stage: Stage) -> None:
    """The operator's RoleBinding of the inline rules binds another role."""
    stage.operator.create(stage.scene.rbac("rolebindings"), binding(stage, suffix=""))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, guard("operator-children", "subjects", words=""))
def the_operator_binds_to_a_user(stage: Stage) -> None:
    """The operator binds the role edit to a user instead of a session."""
    person = {"kind": "User", "apiGroup": RBAC, "name": "mallory"}
    stage.operator.create(stage.scene.rbac("rolebindings"), {**binding(stage, "edit"), "subjects": [person]})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, guard("operator-children", "subjects", words=""))
def the_operator_adds_a_user_beside_the_session(stage: Stage) -> None:
    """The operator's RoleBinding has two subjects: the session, and somebody else."""
    body = binding(stage)
    body["subjects"].append({"kind": "User", "apiGroup": RBAC, "name": "mallory"})
    stage.operator.create(stage.scene.rbac("rolebindings"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, guard("subjects", words="may not grant rights"))
def the_operator_binds_a_session_of_another_namespace(stage: Stage) -> None:
    """The operator gives a session rights outside of its namespace."""
    body = binding(stage)
    body["subjects"][0]["namespace"] = "default"
    stage.operator.create(stage.scene.rbac("rolebindings"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, children("it is not named like a session"))
def the_operator_makes_a_binding_of_any_name(stage: Stage) -> None:
    """The operator makes a RoleBinding that nobody takes for a session's."""
    body = binding(stage)
    body["metadata"]["name"] = stage.name
    body["subjects"] = [{"kind": "ServiceAccount", "name": "default", "namespace": stage.scene.namespace}]
    stage.operator.create(stage.scene.rbac("rolebindings"), body)


# Identities


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, children("at most 24 hours ahead"))
def the_operator_makes_an_identity_for_longer(stage: Stage) -> None:
    """The operator makes an identity whose deadline is more than a day ahead."""
    body = manifests.service_account(stage.live.session, another(stage, lasts=HOURS_25), UID)
    stage.operator.create(stage.scene.core("serviceaccounts"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, jobs("at most 24 hours ahead"))
def the_operator_makes_a_timer_for_longer(stage: Stage) -> None:
    """The operator makes a timer whose deadline is more than a day ahead."""
    stage.operator.create(stage.scene.batch("jobs"), timer(stage, another(stage, lasts=HOURS_25)))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, jobs("a timer ends at its session's deadline"))
def the_operator_makes_a_timer_that_is_late(stage: Stage) -> None:
    """The operator makes a timer that fires hours after the deadline in its name."""
    body = timer(stage, another(stage))
    body["spec"]["activeDeadlineSeconds"] = 7200
    stage.operator.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, jobs("a timer has no pods"))
def the_operator_makes_a_timer_that_stays(stage: Stage) -> None:
    """The operator makes a timer that is not removed when it has failed."""
    body = timer(stage, another(stage))
    del body["spec"]["ttlSecondsAfterFinished"]
    stage.operator.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, jobs("a timer has no pods"))
def the_operator_makes_a_timer_that_waits(stage: Stage) -> None:
    """The operator makes a timer that is suspended."""
    body = timer(stage, another(stage))
    body["spec"]["suspend"] = True
    stage.operator.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, children("its one owner must be"))
def the_operator_makes_an_identity_of_no_timer(stage: Stage) -> None:
    """The operator makes an identity that nothing owns, and so nothing ends."""
    stage.operator.create(stage.scene.core("serviceaccounts"), account(stage, ownerReferences=[]))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, children("its one owner must be"))
def the_operator_makes_an_identity_of_a_configmap(stage: Stage) -> None:
    """The operator makes an identity that lives as long as a ConfigMap."""
    owner = manifests.owner_reference("v1", "ConfigMap", "kube-root-ca.crt", UID)
    stage.operator.create(stage.scene.core("serviceaccounts"), account(stage, ownerReferences=[owner]))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, children("no finalizers and no annotations"))
def the_operator_makes_an_identity_with_a_finalizer(stage: Stage) -> None:
    """The operator makes an identity that deleting does not end."""
    stage.operator.create(stage.scene.core("serviceaccounts"), account(stage, finalizers=["example.com/hold"]))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, children("no finalizers and no annotations"))
def the_operator_gives_an_identity_a_role_of_the_cloud(stage: Stage) -> None:
    """The operator annotates an identity, so that the cloud takes it for a role."""
    annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}
    stage.operator.create(stage.scene.core("serviceaccounts"), account(stage, annotations=annotations))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, children("it is not named like a session"))
def the_operator_makes_an_ordinary_serviceaccount(stage: Stage) -> None:
    """The operator makes a ServiceAccount whose tokens no guard watches."""
    stage.operator.create(stage.scene.core("serviceaccounts"), account(stage, name=stage.name))


# Jobs


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, jobs("a Job that the operator creates has one owner"))
def the_operator_runs_a_job_of_its_own(stage: Stage) -> None:
    """The operator creates an ordinary Job."""
    stage.operator.create(stage.scene.batch("jobs"), job_manifest(stage.name))


@TABLE.attack(
    Attacker.OPERATOR,
    Threat.OPERATOR_JOBS,
    guard("operator-jobs", words="no session may be in namespace kube-system"),
)
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


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, jobs("suspended Jobs of TaskSessions"))
def the_operator_creates_a_job_for_another_session(stage: Stage) -> None:
    """The operator creates a Job that says it is of another TaskSession than the one that owns it."""
    annotations = {names.SESSION_ANNOTATION: "other"}
    stage.operator.create(stage.scene.batch("jobs"), template_job(stage, annotations=annotations))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_JOBS, jobs("a timer has no pods"))
def the_operator_makes_a_timer_with_pods(stage: Stage) -> None:
    """The operator runs a pod under the name of a timer."""
    body = timer(stage, another(stage))
    body["spec"]["parallelism"] = 1
    stage.operator.create(stage.scene.batch("jobs"), body)


# Other people's objects


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, jobs("it takes part in no session"))
def the_operator_starts_a_foreign_job(stage: Stage) -> None:
    """The operator releases a Job that its author suspended."""
    body = job_manifest(stage.name)
    body["spec"]["suspend"] = True
    stage.bob.create(stage.scene.batch("jobs"), body)
    stage.operator.patch(stage.scene.batch("jobs", stage.name), {"spec": {"suspend": False}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, jobs("it did not create it"))
def the_operator_deletes_a_foreign_job(stage: Stage) -> None:
    """The operator deletes somebody's Job."""
    stage.bob.create(stage.scene.batch("jobs"), job_manifest(stage.name))
    stage.operator.delete(stage.scene.batch("jobs", stage.name))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, children("it is not named like a session"))
def the_operator_deletes_a_foreign_binding(stage: Stage) -> None:
    """The operator takes somebody's rights away."""
    body = {"metadata": {"name": stage.name}, "roleRef": VIEW, "subjects": []}
    stage.ann.create(stage.scene.rbac("rolebindings"), body)
    stage.operator.delete(stage.scene.rbac("rolebindings", stage.name))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, jobs("changes nothing else in them"))
def the_operator_has_a_sessions_job_start_more(stage: Stage) -> None:
    """The operator raises the parallelism of a session's Job."""
    stage.operator.patch(stage.job, {"spec": {"parallelism": 5}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, jobs("never prolongs it"))
def the_operator_prolongs_a_running_job(stage: Stage) -> None:
    """The operator gives a running Job a later deadline."""
    stage.operator.patch(stage.job, {"spec": {"activeDeadlineSeconds": 80000}})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_EDITS, rbac('cannot patch resource "tasksessions"'))
def the_operator_changes_what_was_asked(stage: Stage) -> None:
    """The operator writes the spec of a TaskSession."""
    stage.operator.patch(stage.session, {"spec": {"ttl": "24h"}})


@TABLE.attack(
    Attacker.OPERATOR, Threat.OPERATOR_EDITS, guard("operator-sessions", words="removes only finished TaskSessions")
)
def the_operator_deletes_a_live_session(stage: Stage) -> None:
    """The operator deletes a TaskSession, and with it the trace of what it granted."""
    stage.operator.delete(stage.session)


@TABLE.attack(
    Attacker.OPERATOR,
    Threat.OPERATOR_EDITS,
    guard("operator-sessions", "use", words=""),
)
def the_operator_asks_for_itself(stage: Stage) -> None:
    """The operator creates a TaskSession that no Job asked for."""
    stage.operator.create(stage.scene.sessions(), session_manifest(stage.name))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_RELEASE, jobs("the identity that carries its own uid"))
def the_operator_releases_a_job_with_anothers_identity(stage: Stage) -> None:
    """The operator releases one session's Job with the identity of another."""
    identity = stage.live.identity
    second = Stage(stage.ground, f"{stage.name}-b")
    body = template_job(second)
    stage.operator.create(stage.scene.batch("jobs"), body)
    stage.operator.patch(stage.scene.batch("jobs", second.name), release(identity))


@TABLE.attack(
    Attacker.OPERATOR, Threat.OPERATOR_RELEASE, jobs("the identity that carries its own uid"), also=("pod-create",)
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
