"""Attacks by pods and on pods: running as the session, entering its pod, changing it, keeping it from ending."""

from collections.abc import Callable
from typing import Any

from tasksession.api import names
from tests.attacks.attack import Attacker, Table, Threat, controller_refused, guard, harm, rbac
from tests.attacks.stage import DAY, Stage, passes
from tests.cluster import wait_for
from tests.cluster.api import STRATEGIC_MERGE_PATCH, Object
from tests.support.scene import NODE, POD_SPEC

TABLE = Table[Stage]()
ONLY_THE_JOB = guard("pod-create", words="only the Job controller does")
NOT_ITS_JOB = controller_refused("pod-create", words="denied request")
NO_ENTRY = guard("pod-connect", words="may not enter pods of a session")
NO_EDIT = guard("pod-edit", words="may not edit pods of a session")
TIED = guard("pod-edit", status=422, words="tie it to its Job")
LITTLE_GRACE = "60 seconds or less"
ALWAYS_AND_ANYWHERE: Object = {"restartPolicy": "Always", "tolerations": [{"operator": "Exists"}]}
TOKEN_VOLUME: Object = {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}


def as_session(stage: Stage, **spec: Any) -> Object:
    """Return the spec of a pod that names the session's ServiceAccount, and mounts a token of it."""
    return {**POD_SPEC, **TOKEN_VOLUME, "serviceAccountName": stage.identity, **spec}


def steals(stage: Stage, pod: Object) -> None:
    """Have the pod's kubelet mount its token, and use that."""
    harm(stage.holds(stage.kubelets_token(pod)), "the token is not the session's")


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, ONLY_THE_JOB)
def bob_starts_a_pod_as_the_session(stage: Stage) -> None:
    """bob starts a pod of his that names the session's ServiceAccount, and reads its token."""
    pod = stage.bob.create(stage.scene.core("pods"), {"metadata": {"name": stage.name}, "spec": as_session(stage)})
    steals(stage, pod)


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, ONLY_THE_JOB)
def bob_starts_a_pod_by_the_old_field(stage: Stage) -> None:
    """bob names the ServiceAccount in the field that Kubernetes keeps for old manifests."""
    spec = {**POD_SPEC, **TOKEN_VOLUME, "serviceAccount": stage.identity}
    steals(stage, stage.bob.create(stage.scene.core("pods"), {"metadata": {"name": stage.name}, "spec": spec}))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, ONLY_THE_JOB)
def bob_starts_a_pod_that_claims_the_job_as_owner(stage: Stage) -> None:
    """bob forges the owner reference by which a pod is known to be the session's Job's."""
    job = stage.live.job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["name"], "uid": job["uid"], "controller": True}
    metadata = {"generateName": "tasksession-", "ownerReferences": [owner]}
    steals(stage, stage.bob.create(stage.scene.core("pods"), {"metadata": metadata, "spec": as_session(stage)}))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, ONLY_THE_JOB)
def bob_starts_a_pod_with_the_annotation_of_release(stage: Stage) -> None:
    """bob has admission itself put the identity into his pod, by annotation and label of a released Job's pods."""
    annotations = {names.SERVICE_ACCOUNT_ANNOTATION: stage.identity}
    labels = {"batch.kubernetes.io/controller-uid": "any"}
    metadata = {"generateName": "x-", "annotations": annotations, "labels": labels}
    steals(stage, stage.bob.create(stage.scene.core("pods"), {"metadata": metadata, "spec": POD_SPEC}))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, ONLY_THE_JOB)
def bob_copies_the_pod_to_debug_it(stage: Stage) -> None:
    """bob does what `kubectl debug --copy-to` does: the session's pod once more, with a shell in it."""
    spec = stage.live.pod()["spec"]
    kept = {key: value for key, value in spec.items() if key not in ("nodeName", "tolerations")}
    containers = [{"name": "task", "image": "shell"}]
    body: Object = {"metadata": {"name": f"{stage.name}-debug"}, "spec": {**kept, "containers": containers}}
    steals(stage, stage.bob.create(stage.scene.core("pods"), body))


@TABLE.attack(Attacker.REQUESTER, Threat.POD_AS_SESSION, rbac('cannot create resource "pods"'))
def dan_starts_a_pod_as_the_session(stage: Stage) -> None:
    """dan, who may ask for sessions of his own policy, starts a pod as alice's."""
    stage.dan.create(stage.scene.core("pods"), {"metadata": {"name": stage.name}, "spec": as_session(stage)})


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_job_as_the_session(stage: Stage) -> None:
    """bob creates a Job that names the session's ServiceAccount, so that the Job controller starts the pod."""
    template = {"spec": as_session(stage)}
    body = {"metadata": {"name": f"{stage.name}-rider"}, "spec": {"template": template}}
    stage.bob.create(stage.scene.batch("jobs"), body)
    steals(stage, stage.pod_made_for("Job", f"{stage.name}-rider"))


@TABLE.attack(
    Attacker.EDIT,
    Threat.POD_AS_SESSION,
    guard("job-shape", status=422, words="gets its identity at release"),
    also=("pod-create",),
)
def bob_runs_a_job_with_the_annotation_of_release(stage: Stage) -> None:
    """bob puts the annotation of released Jobs into the template of a Job of his."""
    annotations = {names.SERVICE_ACCOUNT_ANNOTATION: stage.identity}
    template = {"metadata": {"annotations": annotations}, "spec": POD_SPEC}
    body = {"metadata": {"name": f"{stage.name}-rider"}, "spec": {"template": template}}
    stage.bob.create(stage.scene.batch("jobs"), body)
    steals(stage, stage.pod_made_for("Job", f"{stage.name}-rider"))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_job_that_selects_the_sessions_pods(stage: Stage) -> None:
    """bob's Job has a forged uid, the labels of the session's pods and a selector of its own making."""
    labels = {"batch.kubernetes.io/controller-uid": stage.live.identity.uid}
    metadata = {"name": f"{stage.name}-rider", "uid": stage.live.identity.uid}
    template = {"metadata": {"labels": labels}, "spec": as_session(stage)}
    spec = {"manualSelector": True, "selector": {"matchLabels": labels}, "template": template, "parallelism": 2}
    stage.bob.create(stage.scene.batch("jobs"), {"metadata": metadata, "spec": spec})
    steals(stage, stage.pod_made_for("Job", f"{stage.name}-rider"))


def workload(stage: Stage, kind: str, **spec: Any) -> str:
    """Create, as bob, an object of a kind that makes pods, and return its name."""
    name = f"{stage.name}-{kind[:2]}"
    template = {"metadata": {"labels": {"app": name}}, "spec": as_session(stage, **ALWAYS_AND_ANYWHERE)}
    selector: Object = {"matchLabels": {"app": name}}
    path, body = f"/apis/apps/v1/namespaces/{stage.scene.namespace}/{kind}", {"selector": selector, **spec}
    if kind == "replicationcontrollers":
        path, body = stage.scene.core(kind), {"selector": {"app": name}}
    stage.bob.create(path, {"metadata": {"name": name}, "spec": {**body, "template": template}})
    return name


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_deployment_as_the_session(stage: Stage) -> None:
    """bob's Deployment names the session's ServiceAccount; the ReplicaSet controller starts its pods."""
    steals(stage, stage.pod_made_for("ReplicaSet", workload(stage, "deployments")))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_replicaset_as_the_session(stage: Stage) -> None:
    """bob's ReplicaSet names the session's ServiceAccount."""
    steals(stage, stage.pod_made_for("ReplicaSet", workload(stage, "replicasets")))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_statefulset_as_the_session(stage: Stage) -> None:
    """bob's StatefulSet names the session's ServiceAccount."""
    steals(stage, stage.pod_made_for("StatefulSet", workload(stage, "statefulsets", serviceName="x")))


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_daemonset_as_the_session(stage: Stage) -> None:
    """bob's DaemonSet names the session's ServiceAccount, on every node."""
    pod = stage.pod_made_for("DaemonSet", workload(stage, "daemonsets"))
    harm(pod["spec"]["serviceAccountName"] == stage.identity, "the pod has another identity")


@TABLE.attack(Attacker.EDIT, Threat.POD_AS_SESSION, NOT_ITS_JOB)
def bob_runs_a_replicationcontroller_as_the_session(stage: Stage) -> None:
    """bob's ReplicationController names the session's ServiceAccount."""
    steals(stage, stage.pod_made_for("ReplicationController", workload(stage, "replicationcontrollers")))


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_runs_a_shell_in_the_pod(stage: Stage) -> None:
    """bob runs `kubectl exec` on the session's pod, to read the token in it."""
    passes(stage.bob.create, stage.scene.core("pods", stage.pod, "exec"), {}, command="sh")


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_runs_a_shell_by_get(stage: Stage) -> None:
    """bob runs exec by GET, as WebSocket clients do: for RBAC that is another verb."""
    passes(stage.bob.get, stage.scene.core("pods", stage.pod, "exec"), command="sh")


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_attaches_to_the_pod(stage: Stage) -> None:
    """bob attaches to the session's process."""
    passes(stage.bob.create, stage.scene.core("pods", stage.pod, "attach"), {})


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_forwards_a_port_of_the_pod(stage: Stage) -> None:
    """bob forwards a port to a debugger that listens in the session's pod."""
    passes(stage.bob.create, stage.scene.core("pods", stage.pod, "portforward"), {}, ports=80)


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_proxies_to_the_pod(stage: Stage) -> None:
    """bob has the API server talk to the session's pod."""
    passes(stage.bob.get, stage.scene.core("pods", stage.pod, "proxy", "secrets"))


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_proxies_by_another_name_of_the_pod(stage: Stage) -> None:
    """bob names the pod http:NAME:PORT, as the proxy allows, so that it does not begin with its prefix."""
    passes(stage.bob.get, stage.scene.core("pods", f"http:{stage.pod}:80", "proxy"))


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, NO_ENTRY)
def bob_proxies_by_the_pods_name_with_tls(stage: Stage) -> None:
    """bob names the pod https:NAME:PORT."""
    passes(stage.bob.create, stage.scene.core("pods", f"https:{stage.pod}:443", "proxy"), {})


@TABLE.attack(Attacker.TASK, Threat.ENTERED_POD, NO_ENTRY)
def the_task_runs_a_shell_in_its_own_pod(stage: Stage) -> None:
    """The task, granted the role edit, enters a session's pod, which might be another session's."""
    passes(stage.task("edit").create, stage.scene.core("pods", stage.pod, "exec"), {}, command="sh")


@TABLE.attack(Attacker.EDIT, Threat.ENTERED_POD, rbac(escalation=True))
def ann_gives_herself_the_right_to_enter(stage: Stage) -> None:
    """ann, who may write Roles, gives herself `create tasksessions/exec`, which the guard lets through."""
    rule = {"apiGroups": ["tasksession.dev"], "resources": ["tasksessions/exec"], "verbs": ["create"]}
    stage.ann.create(stage.scene.rbac("roles"), {"metadata": {"name": stage.name}, "rules": [rule]})


def changes_pod(stage: Stage, change: Object, *, by: str = "bob", subresource: str = "") -> Object:
    """Patch the session's pod as kubectl does, and return it."""
    path = stage.scene.core("pods", stage.pod) + subresource
    person = {"bob": stage.bob, "debugger": stage.debugger}[by]
    return person.patch(path, change, content_type=STRATEGIC_MERGE_PATCH)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, NO_EDIT)
def bob_changes_the_image(stage: Stage) -> None:
    """bob gives the running pod another image: his code, with the session's token."""
    made = changes_pod(stage, {"spec": {"containers": [{"name": "task", "image": "evil"}]}})
    harm(made["spec"]["containers"][0]["image"] == "evil", "the image is the same")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, rbac('cannot patch resource "pods/ephemeralcontainers"'))
def bob_adds_a_debug_container(stage: Stage) -> None:
    """bob runs `kubectl debug`; the built-in edit has no ephemeral containers."""
    changes_pod(
        stage,
        {"spec": {"ephemeralContainers": [{"name": "debug", "image": "evil"}]}},
        subresource="/ephemeralcontainers",
    )


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, NO_EDIT)
def a_debugger_adds_a_debug_container(stage: Stage) -> None:
    """Somebody who may create ephemeral containers in the namespace puts one into the session's pod."""
    change = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "evil"}]}}
    made = changes_pod(stage, change, by="debugger", subresource="/ephemeralcontainers")
    harm(made["spec"]["ephemeralContainers"], "there is no such container")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, rbac('cannot patch resource "pods/status"'))
def bob_says_that_the_pod_has_ended(stage: Stage) -> None:
    """bob writes the pod's status, so that its Job counts as completed."""
    changes_pod(stage, {"status": {"phase": "Succeeded"}}, subresource="/status")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, NO_EDIT)
def bob_gives_the_pod_a_deadline_of_his(stage: Stage) -> None:
    """bob sets activeDeadlineSeconds on the pod, one of the few fields Kubernetes lets him change."""
    made = changes_pod(stage, {"spec": {"activeDeadlineSeconds": 5}})
    harm(made["spec"]["activeDeadlineSeconds"] == 5, "it has no deadline")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, TIED)
def bob_frees_the_pod_of_its_labels(stage: Stage) -> None:
    """bob takes the labels off by which the Job knows its pod: it would outlive the Job, which starts another."""
    made = changes_pod(stage, {"metadata": {"labels": {"batch.kubernetes.io/controller-uid": None}}})
    harm("batch.kubernetes.io/controller-uid" not in made["metadata"]["labels"], "the label is still there")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, TIED)
def bob_frees_the_pod_of_its_owner(stage: Stage) -> None:
    """bob takes the owner off the pod: nothing would end it when the Job goes."""
    made = stage.bob.patch(stage.scene.core("pods", stage.pod), {"metadata": {"ownerReferences": None}})
    harm(not made["metadata"].get("ownerReferences"), "the owner is still there")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_POD, guard("pod-edit", status=422, words="no finalizers"))
def bob_holds_the_pod_with_a_finalizer(stage: Stage) -> None:
    """bob adds a finalizer, so that the deleted pod, and its token with it, stays."""
    hold = ["batch.kubernetes.io/job-tracking", "example.com/hold"]
    made = stage.bob.patch(stage.scene.core("pods", stage.pod), {"metadata": {"finalizers": hold}})
    harm("example.com/hold" in made["metadata"]["finalizers"], "there is no such finalizer")


def tomorrow(stage: Stage) -> None:
    """See that the pod goes on until tomorrow, deleted or not."""
    found = stage.admin.get(stage.scene.core("pods", stage.pod))["metadata"]
    harm(found.get("deletionGracePeriodSeconds") == DAY, "the pod ends at once")


@TABLE.attack(Attacker.EDIT, Threat.LONG_GRACE, guard("pod-delete", status=422, words=LITTLE_GRACE))
def bob_deletes_the_pod_with_a_day_of_grace(stage: Stage) -> None:
    """bob deletes the pod so slowly that the Job controller counts it as ended and lets it run on."""
    stage.bob.request("DELETE", stage.scene.core("pods", stage.pod), body={"gracePeriodSeconds": DAY})
    tomorrow(stage)


@TABLE.attack(Attacker.EDIT, Threat.LONG_GRACE, guard("pod-delete", status=422, words=LITTLE_GRACE))
def bob_asks_for_the_grace_in_the_address(stage: Stage) -> None:
    """bob passes the grace as a query parameter instead of in the body."""
    path = stage.scene.core("pods", stage.pod)
    stage.bob.request("DELETE", path, query={"gracePeriodSeconds": DAY})
    tomorrow(stage)


@TABLE.attack(Attacker.EDIT, Threat.LONG_GRACE, guard("pod-delete", status=422, words=LITTLE_GRACE))
def bob_deletes_all_pods_with_a_day_of_grace(stage: Stage) -> None:
    """bob deletes by label: such a request names no pod."""
    query = {"labelSelector": f"batch.kubernetes.io/controller-uid={stage.live.identity.uid}"}
    assert stage.pod
    stage.bob.request("DELETE", stage.scene.core("pods"), query=query, body={"gracePeriodSeconds": DAY})
    tomorrow(stage)


@TABLE.attack(Attacker.EDIT, Threat.LONG_GRACE, guard("pod-eviction", status=422, words=LITTLE_GRACE))
def an_eviction_takes_a_day(stage: Stage) -> None:
    """Somebody who may evict pods evicts the session's with a day of grace."""
    name = stage.pod
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    options = {"gracePeriodSeconds": DAY}
    stage.debugger.create(stage.scene.core("pods", name, "eviction"), {**body, "deleteOptions": options})
    tomorrow(stage)


@TABLE.attack(Attacker.EDIT, Threat.HELD_TIMER, guard("timer-label", status=422, words="reserved for timers"))
def bob_has_the_timer_adopt_a_pod(stage: Stage) -> None:
    """bob starts a pod with the timer's label: while that terminates, the timer and all it owns stays."""
    assert stage.admin.get(stage.timer)
    path = stage.scene.core("pods", f"{stage.name}-held")
    labels = {names.TIMER_LABEL: stage.identity}
    metadata: Object = {"name": f"{stage.name}-held", "labels": labels, "finalizers": ["example.com/hold"]}
    stage.bob.create(stage.scene.core("pods"), {"metadata": metadata, "spec": {**POD_SPEC, "nodeName": NODE}})
    wait_for(adopted(stage, path), timeout=10, what="the timer to adopt the pod")


@TABLE.attack(Attacker.EDIT, Threat.HELD_TIMER, guard("timer-label", status=422, words="reserved for timers"))
def bob_has_the_timer_adopt_a_pod_that_runs(stage: Stage) -> None:
    """bob puts the timer's label on a pod that runs already."""
    assert stage.admin.get(stage.timer)
    path = stage.scene.core("pods", f"{stage.name}-held")
    metadata: Object = {"name": f"{stage.name}-held", "finalizers": ["example.com/hold"]}
    stage.bob.create(stage.scene.core("pods"), {"metadata": metadata, "spec": {**POD_SPEC, "nodeName": NODE}})
    stage.bob.patch(path, {"metadata": {"labels": {names.TIMER_LABEL: stage.identity}}})
    wait_for(adopted(stage, path), timeout=10, what="the timer to adopt the pod")


def adopted(stage: Stage, path: str) -> Callable[[], bool]:
    """Return a question: whether the timer owns a pod."""
    return lambda: any(
        owner["name"] == stage.identity for owner in stage.admin.get(path)["metadata"].get("ownerReferences", [])
    )
