"""Attacks on a TaskSession that was granted: what it asks for, how it ended, whether it is asked for again."""

from typing import Any

from tests.attacks.attack import Attacker, Table, Threat, guard, harm, kubernetes, rbac
from tests.attacks.stage import Stage
from tests.support.scene import POD_SPEC, session_manifest

TABLE = Table[Stage]()
DEFINITION = kubernetes("the definition", 422, "cannot be changed: create a new TaskSession")
STATUS = {"status": {"state": "Active", "deadline": "2099-01-01T00:00:00Z"}}
TRACKED = guard("tombstone", status=422, words="leave spec.ttlSecondsAfterFinished out")


@TABLE.attack(Attacker.REQUESTER, Threat.EDITED_SESSION, DEFINITION)
def alice_raises_her_ttl(stage: Stage) -> None:
    """alice gives her granted session more time."""
    stage.alice.patch(stage.session, {"spec": {"ttl": "24h"}})


@TABLE.attack(Attacker.REQUESTER, Threat.EDITED_SESSION, DEFINITION)
def alice_asks_for_more_afterwards(stage: Stage) -> None:
    """alice adds a role to what her granted session asks for."""
    roles = [{"kind": "ClusterRole", "name": "admin"}]
    stage.alice.patch(stage.session, {"spec": {"access": {"roles": roles}}})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_SESSION, DEFINITION)
def bob_raises_the_ttl(stage: Stage) -> None:
    """bob, whose edit has TaskSessions in it, gives alice's session more time."""
    stage.bob.patch(stage.session, {"spec": {"ttl": "24h"}})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_SESSION, DEFINITION)
def bob_changes_the_image_in_the_session(stage: Stage) -> None:
    """bob changes the image in the jobTemplate before the operator makes the Job."""
    path = stage.scene.sessions(stage.name)
    made = stage.alice.create(stage.scene.sessions(), session_manifest(stage.name))
    made["spec"]["task"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "evil"
    stage.bob.replace(path, made)


@TABLE.attack(
    Attacker.EDIT, Threat.EDITED_SESSION, guard("session-edit", status=422, words="its spec cannot be changed")
)
def bob_renames_a_field_that_the_definition_does_not_know(stage: Stage) -> None:
    """bob renames a key of the jobTemplate that has no schema: the definition's comparison does not see that."""
    template = {"spec": {"template": {"spec": POD_SPEC}}}
    body = session_manifest(stage.name, task={"jobTemplate": {**template, "odd": 1}})
    made = stage.alice.create(stage.scene.sessions(), body)
    made["spec"]["task"]["jobTemplate"] = {**template, "even": 1}
    changed = stage.bob.replace(stage.scene.sessions(stage.name), made)
    harm("even" in changed["spec"]["task"]["jobTemplate"], "it has the same name")


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.EDITED_SESSION,
    kubernetes("the definition", 422, "only turn true"),
)
def alice_takes_her_revocation_back(stage: Stage) -> None:
    """alice revokes her session and wants it back."""
    stage.alice.patch(stage.session, {"spec": {"revoked": True}})
    stage.alice.patch(stage.session, {"spec": {"revoked": False}})


@TABLE.attack(Attacker.EDIT, Threat.FORGED_STATUS, rbac('cannot patch resource "tasksessions/status"'))
def bob_says_that_the_session_is_active(stage: Stage) -> None:
    """bob writes the status of alice's session."""
    stage.bob.patch(stage.session + "/status", STATUS)


@TABLE.attack(Attacker.EDIT, Threat.FORGED_STATUS, guard("session-status", status=422, words="only the operator does"))
def an_administrator_says_that_the_session_is_active(stage: Stage) -> None:
    """Somebody with all rights writes the status by hand: a deadline of his own."""
    made = stage.admin.patch(stage.session + "/status", STATUS)
    harm(made["status"]["deadline"].startswith("2099"), "the deadline is the same")


@TABLE.attack(Attacker.REQUESTER, Threat.FORGED_STATUS, kubernetes("the status subresource", None, "it is Pending"))
def alice_asks_for_a_session_that_is_active(stage: Stage) -> None:
    """alice writes a status into the TaskSession that she creates."""
    made = stage.alice.create(stage.scene.sessions(), {**session_manifest(stage.name), **STATUS})
    harm(made["status"]["state"] == "Active", f"it is {made['status']['state']}")


def tracked(stage: Stage, **marks: Any) -> None:
    """Ask, as alice, for a session that removes itself while something tracks it."""
    body = session_manifest(stage.name, ttlSecondsAfterFinished=1)
    body["metadata"].update(marks)
    stage.alice.create(stage.scene.sessions(), body)


@TABLE.attack(Attacker.REQUESTER, Threat.SECOND_GRANT, TRACKED)
def a_session_from_argo_cd_removes_itself(stage: Stage) -> None:
    """alice's TaskSession is in Git and removes itself: Argo CD would create it again and again."""
    tracked(stage, annotations={"argocd.argoproj.io/tracking-id": "x"})


@TABLE.attack(Attacker.REQUESTER, Threat.SECOND_GRANT, TRACKED)
def a_session_from_flux_removes_itself(stage: Stage) -> None:
    """alice's TaskSession is applied by Flux and removes itself."""
    tracked(stage, labels={"kustomize.toolkit.fluxcd.io/name": "x"})


@TABLE.attack(Attacker.REQUESTER, Threat.SECOND_GRANT, TRACKED)
def a_session_from_helm_removes_itself(stage: Stage) -> None:
    """alice's TaskSession is part of a Helm release and removes itself."""
    tracked(stage, labels={"app.kubernetes.io/managed-by": "Helm"})
