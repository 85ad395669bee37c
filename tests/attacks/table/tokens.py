"""Attacks on the session's token: minted, stored in a Secret, or asked for after the end."""

import time
from datetime import UTC, datetime, timedelta

from tasksession.api import names
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.observed import ObservedJob
from tests.attacks.attack import Attacker, Table, Threat, guard, harm, kubernetes, rbac
from tests.attacks.stage import DAY, Stage
from tests.cluster import wait_for
from tests.cluster.api import Object
from tests.support.scene import POD_SPEC, session_manifest

TABLE = Table[Stage]()
NOT_FOR_YOU = guard("token", words="may not have tokens of ts-")
TOO_LONG = guard("token", status=422, words="a session's token ends with it")
ENDED = guard("token", words="has ended")
NO_STORED = guard("stored-token", status=422, words="no stored token")
TYPE = "kubernetes.io/service-account-token"
OWNER = "kubernetes.io/service-account.name"


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, NOT_FOR_YOU)
def bob_mints_a_token(stage: Stage) -> None:
    """bob, who may create tokens of ServiceAccounts, asks for one of the session's identity and uses it."""
    answer = stage.bob.create(stage.token, {"spec": {"expirationSeconds": 600}})
    harm(stage.holds(answer["status"]["token"]), "the token is not the session's")


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, NOT_FOR_YOU)
def bob_mints_a_token_for_the_sessions_pod(stage: Stage) -> None:
    """bob asks for a token bound to the session's own pod, as its kubelet would."""
    reference = {"apiVersion": "v1", "kind": "Pod", "name": stage.pod}
    answer = stage.bob.create(stage.token, {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}})
    harm(stage.holds(answer["status"]["token"]), "the token is not the session's")


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, NOT_FOR_YOU)
def bob_mints_a_token_for_a_secret_of_his(stage: Stage) -> None:
    """bob asks for a token bound to a Secret that he made, so that he alone decides when it ends."""
    stage.bob.create(stage.scene.core("secrets"), {"metadata": {"name": stage.name}})
    reference = {"apiVersion": "v1", "kind": "Secret", "name": stage.name}
    answer = stage.bob.create(stage.token, {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}})
    harm(stage.holds(answer["status"]["token"]), "the token is not the session's")


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, NOT_FOR_YOU)
def bob_mints_a_token_for_another_audience(stage: Stage) -> None:
    """bob asks for a token of the session for another system, where it stands for the session too."""
    answer = stage.bob.create(stage.token, {"spec": {"audiences": ["https://vault.example.com"]}})
    harm(answer["status"]["token"], "there is no token")


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, NOT_FOR_YOU)
def bob_mints_a_token_for_a_spared_audience(stage: Stage) -> None:
    """bob asks for an audience that may have long tokens in pods: he is no kubelet."""
    answer = stage.bob.create(stage.token, {"spec": {"audiences": ["istio-ca"], "expirationSeconds": DAY}})
    harm(answer["status"]["token"], "there is no token")


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, NOT_FOR_YOU)
def bob_mints_a_token_for_a_week(stage: Stage) -> None:
    """bob asks for a token that outlives the session by far."""
    answer = stage.bob.create(stage.token, {"spec": {"expirationSeconds": 7 * DAY}})
    harm(stage.holds(answer["status"]["token"]), "the token is not the session's")


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, rbac('cannot impersonate resource "groups"'))
def bob_mints_a_token_as_a_node(stage: Stage) -> None:
    """bob, who may impersonate ServiceAccounts, adds the group of the kubelets to one."""
    groups = ["system:nodes", "system:authenticated"]
    node = stage.bob.as_user(f"system:serviceaccount:{stage.scene.namespace}:default", groups=groups)
    node.create(stage.token, {"spec": {"expirationSeconds": 600}})


@TABLE.attack(Attacker.EDIT, Threat.MINTED_TOKEN, rbac(escalation=True))
def ann_gives_herself_the_right_to_tokens(stage: Stage) -> None:
    """ann, who may write Roles, gives herself `create tasksessions/token`, which the guard lets through."""
    rule = {"apiGroups": ["tasksession.dev"], "resources": ["tasksessions/token"], "verbs": ["create"]}
    stage.ann.create(stage.scene.rbac("roles"), {"metadata": {"name": stage.name}, "rules": [rule]})


@TABLE.attack(Attacker.TASK, Threat.MINTED_TOKEN, guard("token", "session-identity", words="may not"))
def the_task_mints_itself_a_longer_token(stage: Stage) -> None:
    """The task, granted the role edit, asks for a token of its own identity that outlives its pod."""
    answer = stage.task("edit").create(stage.token, {"spec": {"expirationSeconds": 7 * DAY}})
    harm(stage.holds(answer["status"]["token"]), "the token is not the session's")


@TABLE.attack(Attacker.REQUESTER, Threat.MINTED_TOKEN, TOO_LONG)
def the_kubelet_is_made_to_ask_for_a_year(stage: Stage) -> None:
    """A volume in the pod has its kubelet ask for a token of a year, which outlives pod and session."""
    pod = stage.live.pod()
    token = stage.kubelets_token(pod, expirationSeconds=365 * DAY)
    harm(stage.holds(token), "the token is not the session's")


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.MINTED_TOKEN,
    kubernetes("NodeRestriction", 403, "not authorized to request tokens for audience"),
)
def the_kubelet_is_made_to_ask_for_a_day_for_another_system(stage: Stage) -> None:
    """The kubelet asks for a day's token of an audience that is in no volume of the pod."""
    pod = stage.live.pod()
    token = stage.kubelets_token(pod, expirationSeconds=DAY, audiences=["https://vault.example.com"])
    harm(token, "there is no token")


@TABLE.attack(
    Attacker.EDIT, Threat.MINTED_TOKEN, kubernetes("NodeRestriction", 403, "node requested token not bound to a pod")
)
def a_stolen_kubelet_mints_a_token_of_no_pod(stage: Stage) -> None:
    """Somebody with a node's certificate asks for a token of the session that is bound to nothing."""
    assert stage.pod
    stage.scene.kubelet.create(stage.token, {"spec": {"expirationSeconds": 600}})


@TABLE.attack(Attacker.EDIT, Threat.STORED_TOKEN, NO_STORED)
def bob_has_a_token_stored_in_a_secret(stage: Stage) -> None:
    """bob creates a Secret that Kubernetes fills with a token of the session that never expires, and reads it."""
    path = stage.scene.core("secrets")
    body = {"metadata": {"name": stage.name, "annotations": {OWNER: stage.identity}}, "type": TYPE}
    stage.bob.create(path, body)
    found = wait_for(lambda: stage.bob.get(f"{path}/{stage.name}").get("data"), timeout=10, what="the stored token")
    harm("token" in found, "the Secret has no token")


@TABLE.attack(Attacker.EDIT, Threat.STORED_TOKEN, NO_STORED)
def bob_turns_an_empty_secret_into_a_stored_token(stage: Stage) -> None:
    """bob creates a Secret of the type of tokens, of another ServiceAccount, and names the session in it later."""
    path = stage.scene.core("secrets")
    stage.bob.create(path, {"metadata": {"name": stage.name, "annotations": {OWNER: "default"}}, "type": TYPE})
    wait_for(lambda: stage.bob.get(f"{path}/{stage.name}").get("data"), timeout=10, what="the stored token")
    uid = "kubernetes.io/service-account.uid"
    change = {"metadata": {"annotations": {OWNER: stage.identity, uid: None}}, "data": None}
    stage.bob.patch(f"{path}/{stage.name}", change)


@TABLE.attack(Attacker.EDIT, Threat.AFTER_DEADLINE, ENDED)
def a_token_is_asked_for_after_the_deadline(stage: Stage) -> None:
    """The timer is late and the identity is still there: somebody who may have its tokens asks for one."""
    answer = stage.admin.create(late_identity(stage) + "/token", {"spec": {"expirationSeconds": 600}})
    harm(answer["status"]["token"], "there is no token")


@TABLE.attack(Attacker.EDIT, Threat.AFTER_DEADLINE, guard("pod-create", status=422, words="has ended"))
def a_pod_is_started_after_the_deadline(stage: Stage) -> None:
    """The timer is late and the identity is still there: the Job controller starts one more pod."""
    identity = late_identity(stage).rpartition("/")[2]
    parsed = names.parse_identity(identity)
    assert parsed
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": stage.name, "uid": parsed.uid, "controller": True}
    annotations = {names.SERVICE_ACCOUNT_ANNOTATION: identity}
    labels = {"batch.kubernetes.io/controller-uid": parsed.uid}
    metadata = {
        "generateName": f"{stage.name}-",
        "annotations": annotations,
        "labels": labels,
        "ownerReferences": [owner],
    }
    made = stage.controller("job-controller").create(stage.scene.core("pods"), {"metadata": metadata, "spec": POD_SPEC})
    harm(made["spec"]["serviceAccountName"] == identity, "the pod has another identity")


def late_identity(stage: Stage) -> str:
    """Make an identity whose deadline passes while its timer is still there; return the ServiceAccount's path."""
    scene = stage.scene
    session = TaskSession.model_validate(scene.alice.create(scene.sessions(), session_manifest(stage.name)))
    job = scene.operator.create(scene.batch("jobs"), manifests.job(session))
    now = datetime.now(UTC)
    identity = names.Identity(job["metadata"]["uid"], int((now + timedelta(seconds=2)).timestamp()))
    timer: Object = manifests.timer(session, ObservedJob.from_object(job), identity, now)
    timer["spec"]["activeDeadlineSeconds"] = 60
    uid = scene.operator.create(scene.batch("jobs"), timer)["metadata"]["uid"]
    scene.operator.create(scene.core("serviceaccounts"), manifests.service_account(session, identity, uid))
    wait_for(lambda: time.time() > identity.deadline + 1, timeout=5, what="the deadline")
    return scene.core("serviceaccounts", identity.name)
