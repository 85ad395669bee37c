"""Attacks on the end: deletes that leave the rights behind, finalizers, owners taken off."""

from tests.attacks.attack import Attacker, Foiled, Table, Threat, guard, harm, kubernetes
from tests.attacks.stage import Stage
from tests.cluster import wait_for
from tests.cluster.api import Object
from tests.support.scene import NODE, POD_SPEC, LiveSession, session_manifest

TABLE = Table[Stage]()
CASCADE = guard("cascade", status=422, words="must go with it")
ORPHAN = {"propagationPolicy": "Orphan"}


def rights_stay(stage: Stage, path: str) -> None:
    """See that an object lost its owner and is still there: nothing of Kubernetes will ever delete it."""
    harm(stage.freed(path), "its owner is still there")


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_deletes_the_job_without_its_dependents(stage: Stage) -> None:
    """bob runs `kubectl delete job --cascade=orphan`: timer, identity and running pod stay."""
    stage.bob.request("DELETE", stage.job, body=ORPHAN)
    rights_stay(stage, stage.timer)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_deletes_the_job_without_a_word(stage: Stage) -> None:
    """bob deletes the Job through batch/v1 and says nothing of its dependents: they are orphaned by default."""
    stage.bob.request("DELETE", stage.job)
    rights_stay(stage, stage.timer)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_orphans_by_the_old_option(stage: Stage) -> None:
    """bob uses the option that propagationPolicy replaced long ago."""
    stage.bob.request("DELETE", stage.job, body={"orphanDependents": True})
    rights_stay(stage, stage.timer)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_orphans_by_the_address(stage: Stage) -> None:
    """bob passes the policy as a query parameter instead of in the body."""
    stage.bob.request("DELETE", stage.job, query=ORPHAN)
    rights_stay(stage, stage.timer)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_orphans_all_jobs_at_once(stage: Stage) -> None:
    """bob deletes a collection: the request names no Job."""
    query = {**ORPHAN, "labelSelector": f"tasksession.dev/session-uid={stage.live.session.metadata.uid}"}
    stage.bob.request("DELETE", stage.scene.batch("jobs"), query=query)
    rights_stay(stage, stage.account)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_orphans_what_the_timer_owns(stage: Stage) -> None:
    """bob deletes the timer without its dependents: identity and rights have no end any more."""
    stage.bob.request("DELETE", stage.timer, body=ORPHAN)
    rights_stay(stage, stage.binding)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, CASCADE)
def bob_orphans_what_the_session_owns(stage: Stage) -> None:
    """bob, whose edit has TaskSessions in it, deletes the TaskSession without its Job."""
    stage.bob.request("DELETE", stage.session, body=ORPHAN)
    rights_stay(stage, stage.job)


@TABLE.attack(Attacker.REQUESTER, Threat.ORPHANED, CASCADE)
def alice_orphans_her_session(stage: Stage) -> None:
    """alice, its requester, deletes her session and keeps the Job with its rights."""
    stage.alice.request("DELETE", stage.session, query=ORPHAN)
    rights_stay(stage, stage.job)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, guard("job-edit", status=422, words="no finalizers"))
def bob_holds_the_job_with_a_finalizer(stage: Stage) -> None:
    """bob puts a finalizer on the Job: deleted, it is still there, and all that it owns."""
    stage.bob.patch(stage.job, {"metadata": {"finalizers": ["example.com/hold"]}})
    stage.bob.delete(stage.job)
    harm(stage.admin.get(stage.job)["metadata"].get("deletionTimestamp"), "it is not being deleted")


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, guard("job-edit", status=422, words="is not changed"))
def bob_frees_the_job_of_its_session(stage: Stage) -> None:
    """bob takes the owner off the Job, so that it outlives the TaskSession."""
    stage.bob.patch(stage.job, {"metadata": {"ownerReferences": None}})
    rights_stay(stage, stage.job)


@TABLE.attack(Attacker.REQUESTER, Threat.ORPHANED, guard("session-create", status=422, words="no finalizers"))
def alice_asks_for_a_session_with_a_finalizer(stage: Stage) -> None:
    """alice creates a TaskSession that deleting does not end."""
    body = session_manifest(stage.name)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    stage.alice.create(stage.scene.sessions(), body)


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, guard("session-edit", status=422, words="no finalizers"))
def bob_holds_the_session_with_a_finalizer(stage: Stage) -> None:
    """bob puts a finalizer on the TaskSession later."""
    stage.bob.patch(stage.session, {"metadata": {"finalizers": ["example.com/hold"]}})
    stage.bob.delete(stage.session)
    harm(stage.admin.get(stage.session)["metadata"].get("deletionTimestamp"), "it is not being deleted")


@TABLE.attack(Attacker.EDIT, Threat.ORPHANED, guard("session-edit", status=422, words="owner of a TaskSession"))
def bob_gives_the_session_an_owner(stage: Stage) -> None:
    """bob has the TaskSession hang on an object of his: with it goes the tombstone, and Git may ask again."""
    made = stage.bob.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": stage.name, "uid": made["metadata"]["uid"]}
    stage.bob.patch(stage.session, {"metadata": {"ownerReferences": [owner]}})
    stage.bob.delete(stage.scene.core("configmaps", stage.name))
    wait_for(lambda: stage.admin.find(stage.session) is None, timeout=10, what="the TaskSession to be collected")


@TABLE.attack(Attacker.EDIT, Threat.HELD_TIMER, kubernetes("the timer's selector", None, "the rights ended in time"))
def bob_claims_the_timer_by_its_uid(stage: Stage) -> None:
    """bob starts a pod with the labels by which a Job knows its pods, to be adopted by the timer and to hold it."""
    live = LiveSession.start(stage.scene, stage.name, seconds=4)
    timer = stage.admin.get(stage.scene.batch("jobs", live.identity.name))
    labels = {
        "batch.kubernetes.io/controller-uid": timer["metadata"]["uid"],
        "controller-uid": timer["metadata"]["uid"],
        "job-name": live.identity.name,
    }
    metadata: Object = {"name": f"{stage.name}-held", "labels": labels, "finalizers": ["example.com/hold"]}
    stage.bob.create(stage.scene.core("pods"), {"metadata": metadata, "spec": {**POD_SPEC, "nodeName": NODE}})
    wait_for(lambda: not [path for path in live.rights() if stage.admin.find(path)], timeout=15, what="the end")
    raise Foiled("the rights ended in time")


@TABLE.attack(Attacker.EDIT, Threat.HELD_TIMER, kubernetes("timer owns the rights", None, "the rights ended in time"))
def bob_holds_the_sessions_job_at_its_deadline(stage: Stage) -> None:
    """bob has the session's Job itself adopt a pod that never stops: the Job never fails, the timer does."""
    live = LiveSession.start(stage.scene, stage.name, seconds=4)
    labels = {"batch.kubernetes.io/controller-uid": live.identity.uid, "controller-uid": live.identity.uid}
    metadata: Object = {
        "name": f"{stage.name}-held",
        "labels": {**labels, "job-name": stage.name, "batch.kubernetes.io/job-name": stage.name},
        "finalizers": ["example.com/hold"],
    }
    stage.bob.create(stage.scene.core("pods"), {"metadata": metadata, "spec": {**POD_SPEC, "nodeName": NODE}})
    wait_for(lambda: not [path for path in live.rights() if stage.admin.find(path)], timeout=15, what="the end")
    raise Foiled("the rights ended in time")
