"""Attacks by the task itself, with its own token and generous rights, and by who merely impersonates it."""

from tests.attacks.attack import Attacker, Table, Threat, guard, harm, rbac
from tests.attacks.stage import RBAC, VIEW, Stage
from tests.cluster import wait_for
from tests.support.scene import ASKS, POD_SPEC, job_manifest, session_manifest

TABLE = Table[Stage]()
NO_IMPERSONATION = guard("session-identity", words="may not be impersonated")
NOT_RBAC = guard("session-identity", words="may not grant rights")
NO_TOKENS = guard("session-identity", words="may not obtain tokens of other identities")
NO_SESSIONS = guard("session-identity", words="may not start sessions")
OWNER = "kubernetes.io/service-account.name"


@TABLE.attack(Attacker.EDIT, Threat.IMPERSONATED, NO_IMPERSONATION)
def bob_writes_as_the_session(stage: Stage) -> None:
    """bob, who may impersonate ServiceAccounts of his namespace, writes with the session's rights."""
    stage.grant("edit")
    impostor = stage.bob.as_user(stage.user)
    impostor.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name}})


@TABLE.attack(Attacker.EDIT, Threat.IMPERSONATED, NO_IMPERSONATION)
def bob_deletes_a_collection_as_the_session(stage: Stage) -> None:
    """bob deletes a whole collection as the session: such a request names no object."""
    stage.grant("edit")
    impostor = stage.bob.as_user(stage.user)
    stage.admin.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name, "labels": {"x": stage.name}}})
    impostor.request("DELETE", stage.scene.core("configmaps"), query={"labelSelector": f"x={stage.name}"})
    harm(stage.admin.find(stage.scene.core("configmaps", stage.name)) is None, "it is still there")


@TABLE.attack(Attacker.EDIT, Threat.IMPERSONATED, NO_IMPERSONATION)
def bob_tries_out_what_the_session_may_write(stage: Stage) -> None:
    """bob has the session's writes checked as dry runs, which tell him what its rights and the objects are."""
    stage.grant("edit")
    impostor = stage.bob.as_user(stage.user)
    impostor.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name}}, dryRun="All")


@TABLE.attack(Attacker.EDIT, Threat.IMPERSONATED, guard("session-identity", "pod-connect", words="may not"))
def bob_enters_a_pod_as_the_session(stage: Stage) -> None:
    """bob enters an ordinary pod as the session, for exec is no write to RBAC but a create to admission."""
    stage.grant("edit")
    impostor = stage.bob.as_user(stage.user)
    stage.connects(impostor, "exec")


@TABLE.attack(Attacker.EDIT, Threat.IMPERSONATED, rbac("userextras"))
def bob_forges_the_mark_of_a_token(stage: Stage) -> None:
    """bob impersonates the session together with the mark by which requests with a token are known."""
    extra = {"authentication.kubernetes.io%2Fcredential-id": ["JTI=x"]}
    impostor = stage.bob.as_user(stage.user, extra=extra)
    impostor.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name}})


@TABLE.attack(Attacker.REQUESTER, Threat.IMPERSONATED, rbac("impersonate"))
def dan_reads_as_the_session(stage: Stage) -> None:
    """dan, who may only ask for sessions, impersonates one."""
    certificate = stage.ground.cluster.issue_client_certificate("dan", ["people"])
    dan = stage.bob.from_kubeconfig(certificate)
    dan.as_user(stage.user).list(stage.scene.core("configmaps"))


# The task hands on what it has


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, NOT_RBAC)
def the_task_binds_its_rights_to_somebody(stage: Stage) -> None:
    """The task, granted the role admin, binds it to a user, who keeps it when the session ends."""
    person = {"kind": "User", "apiGroup": RBAC, "name": "mallory"}
    body = {"metadata": {"name": stage.name}, "roleRef": {**VIEW, "name": "admin"}, "subjects": [person]}
    stage.task("admin").create(stage.scene.rbac("rolebindings"), body)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, NOT_RBAC)
def the_task_writes_a_role(stage: Stage) -> None:
    """The task, granted the role admin, leaves a Role behind."""
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    stage.task("admin").create(stage.scene.rbac("roles"), {"metadata": {"name": stage.name}, "rules": [rule]})


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, NOT_RBAC)
def the_task_deletes_somebodys_binding(stage: Stage) -> None:
    """The task, granted the role admin, takes rights from somebody else."""
    body = {"metadata": {"name": stage.name}, "roleRef": VIEW, "subjects": []}
    stage.ann.create(stage.scene.rbac("rolebindings"), body)
    stage.task("admin").delete(stage.scene.rbac("rolebindings", stage.name))


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, NO_TOKENS)
def the_task_mints_a_token_of_another(stage: Stage) -> None:
    """The task, granted the role edit, mints a token of an account that lives on."""
    path = stage.scene.core("serviceaccounts", "default", "token")
    answer = stage.task("edit").create(path, {"spec": {"expirationSeconds": 86400}})
    harm(answer["status"]["token"], "there is no token")


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, NO_TOKENS)
def the_task_has_a_token_of_another_stored(stage: Stage) -> None:
    """The task, granted the role edit, leaves a Secret with a token of another account that never expires."""
    body = {
        "metadata": {"name": stage.name, "annotations": {OWNER: "default"}},
        "type": "kubernetes.io/service-account-token",
    }
    stage.task("edit").create(stage.scene.core("secrets"), body)
    path = stage.scene.core("secrets", stage.name)
    wait_for(lambda: stage.admin.get(path).get("data", {}).get("token"), timeout=10, what="the stored token")


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, guard("session-identity", "use", words="may not"))
def the_task_asks_for_a_session_with_a_job(stage: Stage) -> None:
    """The task, granted the role edit, starts another session with an annotated Job."""
    body = job_manifest(f"{stage.name}-more", annotations=ASKS)
    stage.task("edit").create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, NO_SESSIONS)
def the_task_joins_a_session_with_a_job(stage: Stage) -> None:
    """The task, granted the role edit, has a Job join a TaskSession."""
    body = job_manifest(f"{stage.name}-more", annotations={"tasksession.dev/session": "other"})
    stage.task("edit").create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, guard("session-identity", "cronjob", words="may not"))
def the_task_asks_for_sessions_every_day(stage: Stage) -> None:
    """The task, granted the role edit, leaves an annotated CronJob behind."""
    template = {"metadata": {"annotations": ASKS}, "spec": {"template": {"spec": POD_SPEC}}}
    body = {"metadata": {"name": stage.name}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}}
    stage.task("edit").create(stage.scene.batch("cronjobs"), body)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, guard("session-identity", "cronjob", words="may not"))
def the_task_annotates_a_cronjob_that_is_there(stage: Stage) -> None:
    """The task, granted the role edit, turns somebody's ordinary CronJob into one of sessions."""
    body = {
        "metadata": {"name": stage.name},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": POD_SPEC}}}},
    }
    stage.bob.create(stage.scene.batch("cronjobs"), body)
    change = {"spec": {"jobTemplate": {"metadata": {"annotations": ASKS}}}}
    stage.task("edit").patch(stage.scene.batch("cronjobs", stage.name), change)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, guard("session-identity", "use", words=""))
def the_task_asks_for_a_session(stage: Stage) -> None:
    """The task, granted the role edit, creates a TaskSession, to go on after its own end."""
    stage.task("edit").create(stage.scene.sessions(), session_manifest(f"{stage.name}-more"))


@TABLE.attack(Attacker.TASK, Threat.SECOND_GRANT, guard("session-identity", words="nor start or approve sessions"))
def the_task_removes_its_own_tombstone(stage: Stage) -> None:
    """The task, granted the role edit, deletes its TaskSession, so that Git creates and grants it again."""
    stage.task("edit").delete(stage.session)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, guard("session-identity", words="sign certificates"))
def the_task_asks_for_a_certificate(stage: Stage) -> None:
    """The task, whose group was given the right by somebody, asks for a certificate, which outlives it."""
    stage.let_group("certificatesigningrequests", "certificates.k8s.io")
    body = {
        "metadata": {"name": f"{stage.scene.namespace}-{stage.name}"},
        "spec": {
            "request": stage.signing_request(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    stage.task().create("/apis/certificates.k8s.io/v1/certificatesigningrequests", body)


@TABLE.attack(Attacker.TASK, Threat.HANDED_ON, guard("session-identity", words="change admission"))
def the_task_makes_a_webhook(stage: Stage) -> None:
    """The task, whose group was given the right by somebody, puts a webhook before all writes."""
    stage.let_group("validatingwebhookconfigurations", "admissionregistration.k8s.io")
    body = {"metadata": {"name": f"{stage.scene.namespace}-{stage.name}"}, "webhooks": []}
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    stage.task().create(path, body)


@TABLE.attack(
    Attacker.TASK, Threat.EDITED_JOB, guard("job-edit", "session-identity", status=(422, 403), words="may not")
)
def the_task_puts_its_own_deadline_off(stage: Stage) -> None:
    """The task, granted the role edit, gives its own Job a later deadline."""
    stage.task("edit").patch(stage.job, {"spec": {"activeDeadlineSeconds": 99999}})


@TABLE.attack(Attacker.TASK, Threat.EDITED_GRANT, guard("reserved-names", words="this name is reserved"))
def the_task_holds_its_own_identity(stage: Stage) -> None:
    """The task, granted the role edit, puts a finalizer on its own ServiceAccount."""
    stage.task("edit").patch(stage.account, {"metadata": {"finalizers": ["example.com/hold"]}})


@TABLE.attack(Attacker.TASK, Threat.LONG_GRACE, guard("pod-delete", status=422, words="60 seconds or less"))
def the_task_deletes_itself_slowly(stage: Stage) -> None:
    """The task, granted the role edit, deletes its own pod with a day of grace, to run on after the deadline."""
    path = stage.scene.core("pods", stage.pod)
    stage.task("edit").request("DELETE", path, body={"gracePeriodSeconds": 86400})


@TABLE.attack(Attacker.TASK, Threat.POD_AS_SESSION, guard("pod-create", words="only the Job controller does"))
def the_task_starts_a_second_pod_of_itself(stage: Stage) -> None:
    """The task, granted the role edit, starts a pod with its own identity that its Job knows nothing of."""
    spec = {**POD_SPEC, "serviceAccountName": stage.identity}
    stage.task("edit").create(stage.scene.core("pods"), {"metadata": {"name": f"{stage.name}-two"}, "spec": spec})
