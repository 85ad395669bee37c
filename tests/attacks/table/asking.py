"""Attacks on the request: without `use`, in somebody else's name, where none may be, or running before the yes."""

from tasksession.api import names
from tests.attacks.attack import Attacker, Table, Threat, guard, harm, kubernetes, overwritten, rbac
from tests.attacks.stage import Stage
from tests.cluster.api import Object
from tests.support.scene import ASKS, POD_SPEC, bind, job_manifest, session_manifest

TABLE = Table[Stage]()
NO_USE = guard("use", words="may not use SessionPolicy")
NO_USE_CRON = guard("cronjob", words="may not use SessionPolicy deploy")
FORGED = {"username": "root", "uid": "0", "groups": ["system:masters"]}
STAMP = {names.REQUESTED_BY_ANNOTATION: "root"}


def requester(job: Object) -> str:
    """Return whose a Job, or the jobTemplate of a CronJob, is."""
    found: str = job["metadata"]["annotations"][names.REQUESTED_BY_ANNOTATION]
    return found


def cronjob(name: str, **annotations: str) -> Object:
    """Return an annotated CronJob."""
    template = {
        "metadata": {"annotations": {**ASKS, **{f"tasksession.dev/{k}": v for k, v in annotations.items()}}},
        "spec": {"template": {"spec": POD_SPEC}},
    }
    return {"metadata": {"name": name}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}}


# Without `use`


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, NO_USE)
def bob_asks_for_a_session(stage: Stage) -> None:
    """bob, whose edit lets him create TaskSessions, asks for a policy that he may not use."""
    stage.bob.create(stage.scene.sessions(), session_manifest(stage.name))


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, NO_USE)
def bob_asks_with_a_job(stage: Stage) -> None:
    """bob asks with an annotated Job instead."""
    stage.bob.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations=ASKS))


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, NO_USE_CRON)
def bob_asks_with_a_cronjob(stage: Stage) -> None:
    """bob asks with a CronJob, whose Jobs its controller creates."""
    stage.bob.create(stage.scene.batch("cronjobs"), cronjob(stage.name))


@TABLE.attack(Attacker.REQUESTER, Threat.UNASKED, NO_USE)
def dan_asks_for_alices_policy(stage: Stage) -> None:
    """dan, who may use the policy reports, asks for the policy deploy."""
    stage.dan.create(stage.scene.sessions(), session_manifest(stage.name))


@TABLE.attack(Attacker.REQUESTER, Threat.UNASKED, NO_USE)
def dan_asks_for_alices_policy_with_a_job(stage: Stage) -> None:
    """dan asks for the policy deploy with an annotated Job."""
    stage.dan.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations=ASKS))


@TABLE.attack(Attacker.REQUESTER, Threat.UNASKED, NO_USE)
def alice_asks_in_another_namespace(stage: Stage) -> None:
    """alice, who may create TaskSessions in another namespace too, has `use` in her own only."""
    made = stage.admin.create("/api/v1/namespaces", {"metadata": {"generateName": "other-"}})
    namespace = made["metadata"]["name"]
    bind(stage.admin, namespace, "alice", role="tasksession-requester", user="alice")
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/tasksessions"
    stage.alice.create(path, session_manifest(stage.name))


@TABLE.attack(Attacker.REQUESTER, Threat.UNASKED, NO_USE)
def dan_applies_on_the_server(stage: Stage) -> None:
    """dan creates by server-side apply: a create that comes as a PATCH."""
    stage.dan.apply({**session_manifest(stage.name)}, namespace=stage.scene.namespace)


@TABLE.attack(Attacker.REQUESTER, Threat.UNASKED, kubernetes("the definition", 422, "cannot be changed"))
def dan_changes_the_policy_afterwards(stage: Stage) -> None:
    """dan asks for his own policy and changes it to alice's."""
    stage.dan.create(stage.scene.sessions(), session_manifest(stage.name, policy="reports"))
    stage.dan.patch(stage.scene.sessions(stage.name), {"spec": {"policy": "deploy"}})


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, NO_USE)
def bob_runs_alices_cronjob_by_hand(stage: Stage) -> None:
    """bob runs `kubectl create job --from=cronjob`: the stamp in it is alice's, the Job is his."""
    made = stage.alice.create(stage.scene.batch("cronjobs"), cronjob(stage.name))
    template = made["spec"]["jobTemplate"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": stage.name, "uid": made["metadata"]["uid"]}
    metadata = {**template["metadata"], "name": stage.name, "ownerReferences": [{**owner, "controller": True}]}
    stage.bob.create(stage.scene.batch("jobs"), {"metadata": metadata, "spec": template["spec"]})


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, rbac('cannot impersonate resource "serviceaccounts"'))
def bob_acts_as_the_cronjob_controller(stage: Stage) -> None:
    """bob, who may impersonate ServiceAccounts of his namespace, tries the one whose Jobs keep their stamp."""
    controller = stage.bob.as_service_account("kube-system", "cronjob-controller")
    controller.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations={**ASKS, **STAMP}))


@TABLE.attack(
    Attacker.REQUESTER, Threat.TEMPLATE_RIGHT, guard("session-create", words="carl may not create Jobs in namespace")
)
def carl_has_the_operator_create_a_job(stage: Stage) -> None:
    """carl may use the policy and create TaskSessions, but no Jobs: a jobTemplate would get him one."""
    stage.admin.as_user("carl").create(stage.scene.sessions(), session_manifest(stage.name))


@TABLE.attack(
    Attacker.REQUESTER, Threat.NO_SESSION_THERE, guard("session-create", status=422, words="no session may be in")
)
def a_session_is_asked_for_in_kube_system(stage: Stage) -> None:
    """Somebody with all rights asks for a session in kube-system, where its Job would be beside the controllers."""
    path = f"/apis/{names.API_VERSION}/namespaces/kube-system/tasksessions"
    stage.admin.create(path, session_manifest(f"{stage.scene.namespace}-{stage.name}"))


@TABLE.attack(
    Attacker.REQUESTER, Threat.NO_SESSION_THERE, guard("session-create", status=422, words="no session may be in")
)
def a_session_is_asked_for_beside_the_operator(stage: Stage) -> None:
    """Somebody with all rights asks for a session in the operator's namespace, next to its token."""
    path = f"/apis/{names.API_VERSION}/namespaces/tasksession-system/tasksessions"
    stage.admin.create(path, session_manifest(f"{stage.scene.namespace}-{stage.name}"))


@TABLE.attack(Attacker.REQUESTER, Threat.NO_SESSION_THERE, guard("job-shape", status=422, words="no session may be in"))
def a_job_asks_for_a_session_in_kube_system(stage: Stage) -> None:
    """Somebody with all rights annotates a Job in kube-system."""
    body = job_manifest(f"{stage.scene.namespace}-{stage.name}", annotations=ASKS)
    stage.admin.create("/apis/batch/v1/namespaces/kube-system/jobs", body)


@TABLE.attack(
    Attacker.REQUESTER, Threat.NO_SESSION_THERE, guard("cronjob-shape", status=422, words="no session may be in")
)
def a_cronjob_asks_for_sessions_in_kube_system(stage: Stage) -> None:
    """Somebody with all rights annotates a CronJob in kube-system."""
    body = cronjob(f"{stage.scene.namespace}-{stage.name}")
    stage.admin.create("/apis/batch/v1/namespaces/kube-system/cronjobs", body)


# In somebody else's name


@TABLE.attack(
    Attacker.REQUESTER, Threat.FORGED_REQUESTER, overwritten("requester-stamp", words="dan"), also=("requester",)
)
def dan_asks_in_the_name_of_root(stage: Stage) -> None:
    """dan writes another requester into his TaskSession."""
    body = session_manifest(stage.name, policy="reports", requester=FORGED)
    made = stage.dan.create(stage.scene.sessions(), body)
    found = made["spec"]["requester"]["username"]
    harm(found == "root", f"it was asked for by {found}")


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.FORGED_REQUESTER,
    overwritten("requester-stamp", words="dan"),
    alone="the definition refuses a change of spec.requester too",
)
def dan_changes_the_requester_afterwards(stage: Stage) -> None:
    """dan patches the requester of his TaskSession."""
    stage.dan.create(stage.scene.sessions(), session_manifest(stage.name, policy="reports"))
    made = stage.dan.patch(stage.scene.sessions(stage.name), {"spec": {"requester": FORGED}})
    found = made["spec"]["requester"]["username"]
    harm(found == "root", f"it was asked for by {found}")


@TABLE.attack(
    Attacker.REQUESTER, Threat.FORGED_REQUESTER, overwritten("job-injection", words="alice"), also=("job-stamp",)
)
def a_job_bears_a_forged_stamp(stage: Stage) -> None:
    """alice annotates her Job with the stamp of somebody else."""
    body = job_manifest(stage.name, annotations={**ASKS, **STAMP})
    found = requester(stage.alice.create(stage.scene.batch("jobs"), body))
    harm(found == "root", f"it was asked for by {found}")


@TABLE.attack(Attacker.EDIT, Threat.FORGED_REQUESTER, guard("job-shape", status=422, words="is reserved"))
def bob_prepares_a_stamped_job(stage: Stage) -> None:
    """bob creates an ordinary Job with a stamp on it, to turn it into a session's later."""
    body = job_manifest(stage.name, annotations=STAMP)
    body["spec"]["suspend"] = True
    found = requester(stage.bob.create(stage.scene.batch("jobs"), body))
    harm(found == "root", f"the stamp says {found}")


@TABLE.attack(Attacker.EDIT, Threat.FORGED_REQUESTER, guard("job-shape", status=422, words="is reserved"))
def bob_marks_an_ordinary_job_as_managed(stage: Stage) -> None:
    """bob puts the label on an ordinary Job by which the operator finds those of sessions."""
    body = job_manifest(stage.name)
    body["metadata"]["labels"] = {names.MANAGED_LABEL: "true"}
    stage.bob.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.EDIT, Threat.FORGED_REQUESTER, guard("job-edit", status=422, words="set when a Job is created"))
def bob_annotates_a_job_that_is_there(stage: Stage) -> None:
    """bob turns an ordinary Job into alice's request: stamps are put on at creation only."""
    body = job_manifest(stage.name)
    body["spec"]["suspend"] = True
    stage.bob.create(stage.scene.batch("jobs"), body)
    change = {"metadata": {"annotations": {**ASKS, names.REQUESTED_BY_ANNOTATION: "alice"}}}
    made = stage.bob.patch(stage.scene.batch("jobs", stage.name), change)
    harm(requester(made) == "alice", "the stamp is another")


@TABLE.attack(Attacker.EDIT, Threat.FORGED_REQUESTER, guard("job-edit", status=422, words="set when a Job is created"))
def bob_changes_the_stamp_of_a_job(stage: Stage) -> None:
    """bob makes alice's waiting Job the request of ann."""
    stage.alice.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations=ASKS))
    change = {"metadata": {"annotations": {names.REQUESTED_BY_ANNOTATION: "ann"}}}
    made = stage.bob.patch(stage.scene.batch("jobs", stage.name), change)
    harm(requester(made) == "ann", "the stamp is another")


@TABLE.attack(
    Attacker.REQUESTER, Threat.FORGED_REQUESTER, overwritten("cronjob-stamp", words="alice"), also=("cronjob",)
)
def a_cronjob_bears_a_forged_stamp(stage: Stage) -> None:
    """alice annotates the jobTemplate of her CronJob with the stamp of somebody else."""
    body = cronjob(stage.name, **{"requested-by": "root"})
    found = requester(stage.alice.create(stage.scene.batch("cronjobs"), body)["spec"]["jobTemplate"])
    harm(found == "root", f"it was asked for by {found}")


@TABLE.attack(Attacker.EDIT, Threat.FORGED_REQUESTER, NO_USE_CRON, also=("cronjob-stamp",))
def bob_changes_what_alices_cronjob_runs(stage: Stage) -> None:
    """bob gives alice's CronJob an image of his, to have it run in her name."""
    stage.alice.create(stage.scene.batch("cronjobs"), cronjob(stage.name, **{"requested-by": "alice"}))
    template = {"spec": {"template": {"spec": {"containers": [{"name": "task", "image": "evil"}]}}}}
    path = stage.scene.batch("cronjobs", stage.name)
    made = stage.bob.patch(path, {"spec": {"jobTemplate": template}})["spec"]["jobTemplate"]
    harm(requester(made) == "alice", "it is his own now")


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.FORGED_REQUESTER,
    overwritten("cronjob-stamp", words="ronald"),
    also=("cronjob",),
)
def another_requester_changes_alices_cronjob(stage: Stage) -> None:
    """ronald, who may use the policy himself, changes what alice's CronJob runs: it becomes his request."""
    stage.alice.create(stage.scene.batch("cronjobs"), cronjob(stage.name, **{"requested-by": "alice"}))
    for role in ("edit", "use-deploy"):
        bind(stage.admin, stage.scene.namespace, f"{stage.name}-{role}", role=role, user="ronald")
    path = stage.scene.batch("cronjobs", stage.name)
    made = stage.admin.as_user("ronald").patch(path, {"spec": {"schedule": "0 0 2 1 *"}})
    found = requester(made["spec"]["jobTemplate"])
    harm(found == "alice", f"it was asked for by {found}")


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.FORGED_REQUESTER,
    guard("session-create", status=422, words="only the operator creates the TaskSession of a Job"),
)
def dan_makes_the_session_of_a_job_by_hand(stage: Stage) -> None:
    """dan creates a TaskSession owned by a Job, which would be taken for the operator's."""
    job = stage.alice.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations=ASKS))["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["name"], "uid": job["uid"], "controller": True}
    body = session_manifest(stage.name, policy="reports", task={"job": {"name": stage.name}})
    body["metadata"]["ownerReferences"] = [owner]
    stage.dan.create(stage.scene.sessions(), body)


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.FORGED_REQUESTER,
    guard("session-create", status=422, words="annotations with tasksession.dev/ are for Jobs"),
)
def dan_annotates_his_session(stage: Stage) -> None:
    """dan writes an annotation onto his TaskSession that only the operator sets."""
    body = session_manifest(stage.name, policy="reports")
    body["metadata"]["annotations"] = {"tasksession.dev/problem": "none"}
    stage.dan.create(stage.scene.sessions(), body)


@TABLE.attack(
    Attacker.EDIT,
    Threat.FORGED_REQUESTER,
    guard("session-edit", status=422, words="are the operator's and never change"),
)
def bob_annotates_a_session(stage: Stage) -> None:
    """bob says of alice's session that it cannot be used."""
    stage.bob.patch(stage.session, {"metadata": {"annotations": {"tasksession.dev/problem": "bob says so"}}})


# Before policy said yes


@TABLE.attack(
    Attacker.REQUESTER, Threat.EARLY_START, overwritten("job-injection", words="suspended"), also=("job-stamp",)
)
def a_job_is_written_to_start_at_once(stage: Stage) -> None:
    """alice writes suspend: false into her annotated Job."""
    body = job_manifest(stage.name, annotations=ASKS)
    body["spec"]["suspend"] = False
    made = stage.alice.create(stage.scene.batch("jobs"), body)
    harm(not made["spec"]["suspend"], "it is suspended")
    assert stage.pod_made_for("Job", stage.name)


@TABLE.attack(Attacker.EDIT, Threat.EARLY_START, guard("job-edit", status=422, words="may not edit the Job"))
def bob_starts_a_waiting_job(stage: Stage) -> None:
    """bob releases alice's waiting Job himself."""
    stage.alice.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations=ASKS))
    stage.bob.patch(stage.scene.batch("jobs", stage.name), {"spec": {"suspend": False}})
    assert stage.pod_made_for("Job", stage.name)


@TABLE.attack(
    Attacker.EDIT,
    Threat.EARLY_START,
    overwritten("job-suspend", words="suspended"),
    also=("job-edit",),
)
def bob_starts_a_waiting_job_as_git_would(stage: Stage) -> None:
    """bob writes under the name of a tool that applies manifests, whose suspend is let through without effect."""
    stage.alice.create(stage.scene.batch("jobs"), job_manifest(stage.name, annotations=ASKS))
    path = stage.scene.batch("jobs", stage.name)
    made = stage.bob.patch(path, {"spec": {"suspend": False}}, fieldManager="argocd-controller")
    harm(not made["spec"]["suspend"], "it is suspended")
    assert stage.pod_made_for("Job", stage.name)


@TABLE.attack(
    Attacker.EDIT,
    Threat.EARLY_START,
    kubernetes("nothing is granted to it", None, "an ordinary Job"),
)
def bob_writes_the_annotation_in_capitals(stage: Stage) -> None:
    """bob spells the annotation in capitals, so that no guard sees it."""
    made = stage.bob.create(
        stage.scene.batch("jobs"), job_manifest(stage.name, annotations={"TaskSession.dev/Policy": "deploy"})
    )
    harm(names.MANAGED_LABEL in made["metadata"].get("labels", {}), "it is an ordinary Job")
