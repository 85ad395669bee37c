"""Attacks on names, grants and trust: what a session consists of, what it may do, and which API server it believes."""

from tests.attacks.attack import Attacker, Table, Threat, guard, harm, overwritten, rbac
from tests.attacks.stage import RBAC, VIEW, Stage
from tests.cluster import Api, wait_for
from tests.cluster.api import Object
from tests.support.scene import ASKS, POD_SPEC, Scene, job_manifest

TABLE = Table[Stage]()
RESERVED = guard("reserved-names", words="this name is reserved for sessions")
RESERVED_TIMER = guard("reserved-names", "job-edit", status=(403, 422), words="")
NO_GRANT = guard("subjects", words="may not grant rights to a session")
EITHER = guard("reserved-names", "subjects", words="")
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
HOLD = {"metadata": {"finalizers": ["example.com/hold"]}}


def account_of(stage: Stage) -> Object:
    """Return the session as a subject."""
    return {"kind": "ServiceAccount", "name": stage.identity, "namespace": stage.scene.namespace}


def user_of(stage: Stage) -> Object:
    """Return the session as a subject of kind User, which RBAC takes for the same."""
    return {"kind": "User", "apiGroup": RBAC, "name": stage.user}


def bound(subject: Object, name: str, role: str = "admin") -> Object:
    """Return a binding of a ClusterRole."""
    return {"metadata": {"name": name}, "roleRef": {**VIEW, "name": role}, "subjects": [subject]}


def gains(stage: Stage, scene: Scene | None = None) -> None:
    """See that the session may read Secrets now."""
    user = stage.admin.as_user(stage.user)
    wait_for(lambda: lists(user, scene or stage.scene), timeout=5, what="the right to be known")


def lists(user: Api, scene: Scene) -> bool:
    """Whether a user may list Secrets, in the API server's own words."""
    attributes = {"namespace": scene.namespace, "resource": "secrets", "verb": "list"}
    body = {"spec": {"resourceAttributes": attributes}}
    answer = user.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    found: bool = answer["status"]["allowed"]
    return found


# Names


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, RESERVED)
def bob_makes_the_serviceaccount_first(stage: Stage) -> None:
    """bob creates the ServiceAccount of a session to come, whose name can be guessed once its Job is there."""
    stage.bob.create(stage.scene.core("serviceaccounts"), {"metadata": {"name": stage.unused()}})


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, RESERVED)
def bob_has_the_name_generated(stage: Stage) -> None:
    """bob has the API server finish the reserved name: he gives all but its last characters."""
    stage.bob.create(stage.scene.core("serviceaccounts"), {"metadata": {"generateName": stage.unused()[:-5]}})


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, RESERVED)
def bob_makes_the_secret_first(stage: Stage) -> None:
    """bob creates the Secret to which a session's tokens would be bound."""
    stage.bob.create(stage.scene.core("secrets"), {"metadata": {"name": stage.unused()}})


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, RESERVED)
def bob_makes_the_timer_first(stage: Stage) -> None:
    """bob creates a Job of the timer's name, which never ends."""
    body = {"metadata": {"name": stage.unused()}, "spec": {"template": {"spec": POD_SPEC}}}
    stage.bob.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, RESERVED)
def ann_makes_the_role_first(stage: Stage) -> None:
    """ann creates the Role of a session's inline rules, with rules of her own."""
    stage.ann.create(stage.scene.rbac("roles"), {"metadata": {"name": stage.unused()}, "rules": [SECRETS]})


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, EITHER)
def ann_makes_the_binding_first(stage: Stage) -> None:
    """ann creates a RoleBinding for an identity that does not exist yet: a grant that waits for it."""
    name = stage.unused()
    subject = {"kind": "ServiceAccount", "name": name, "namespace": stage.scene.namespace}
    stage.ann.create(stage.scene.rbac("rolebindings"), bound(subject, name))


@TABLE.attack(Attacker.EDIT, Threat.PREPARED_NAME, RESERVED)
def ann_makes_a_numbered_binding_first(stage: Stage) -> None:
    """ann creates the RoleBinding of a session's second role, for herself."""
    subject = {"kind": "User", "apiGroup": RBAC, "name": "ann"}
    stage.ann.create(stage.scene.rbac("rolebindings"), bound(subject, f"{stage.unused()}-1"))


# What a live session consists of


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED)
def bob_gives_the_identity_a_role_of_the_cloud(stage: Stage) -> None:
    """bob annotates the session's ServiceAccount, so that the cloud takes it for a role of his."""
    change = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}}}
    made = stage.bob.patch(stage.account, change)
    harm(made["metadata"].get("annotations"), "there is no annotation")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED)
def bob_gives_the_identity_a_second_owner(stage: Stage) -> None:
    """bob adds a ConfigMap to the owners of the ServiceAccount, so that it outlives the timer."""
    made = stage.bob.create(stage.scene.core("configmaps"), {"metadata": {"name": stage.name}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": stage.name, "uid": made["metadata"]["uid"]}
    owners = [*stage.bob.get(stage.account)["metadata"]["ownerReferences"], owner]
    stage.bob.patch(stage.account, {"metadata": {"ownerReferences": owners}})
    stage.bob.delete(stage.timer)
    wait_for(
        lambda: len(stage.bob.get(stage.account)["metadata"]["ownerReferences"]) == 1,
        timeout=10,
        what="the garbage collector to leave the ServiceAccount to its other owner",
    )


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED)
def bob_holds_the_identity_with_a_finalizer(stage: Stage) -> None:
    """bob puts a finalizer on the ServiceAccount, so that its deletion never comes to an end."""
    stage.bob.patch(stage.account, HOLD)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED)
def ann_widens_the_sessions_role(stage: Stage) -> None:
    """ann adds Secrets to the Role of the session's inline rules."""
    stage.ann.patch(stage.scene.rbac("roles", stage.identity), {"rules": [SECRETS]})
    gains(stage)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED)
def ann_holds_the_role_with_a_finalizer(stage: Stage) -> None:
    """ann puts a finalizer on the session's Role."""
    stage.ann.patch(stage.scene.rbac("roles", stage.identity), HOLD)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, EITHER)
def ann_adds_herself_to_the_binding(stage: Stage) -> None:
    """ann adds a user to the subjects of the session's RoleBinding."""
    subjects = [account_of(stage), {"kind": "User", "apiGroup": RBAC, "name": "mallory"}]
    stage.ann.patch(stage.binding, {"subjects": subjects})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED)
def ann_hands_the_binding_over(stage: Stage) -> None:
    """ann replaces the session in its own RoleBinding by a user: the guard on subjects sees no session there."""
    stage.ann.patch(stage.binding, {"subjects": [{"kind": "User", "apiGroup": RBAC, "name": "mallory"}]})


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, EITHER)
def ann_holds_the_binding_with_a_finalizer(stage: Stage) -> None:
    """ann puts a finalizer on the RoleBinding: RBAC counts it for as long as it is there, deleted or not."""
    stage.ann.patch(stage.binding, HOLD)
    stage.operator.delete(stage.binding)
    found = stage.admin.get(stage.binding)["metadata"]
    harm("deletionTimestamp" in found, "it is gone")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, EITHER)
def ann_frees_the_binding_of_its_timer(stage: Stage) -> None:
    """ann takes the owner off the RoleBinding, so that it outlives the timer."""
    made = stage.ann.patch(stage.binding, {"metadata": {"ownerReferences": None}})
    harm(not made["metadata"].get("ownerReferences"), "the owner is still there")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, EITHER)
def ann_makes_the_binding_anew_with_more(stage: Stage) -> None:
    """ann deletes the session's RoleBinding, which everybody may, and makes it again with the role admin."""
    stage.ann.delete(stage.binding)
    stage.ann.create(stage.scene.rbac("rolebindings"), bound(account_of(stage), f"{stage.identity}-0"))
    gains(stage)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED_TIMER)
def bob_stops_the_timer(stage: Stage) -> None:
    """bob suspends the timer, so that the deadline never comes."""
    harm(stage.bob.patch(stage.timer, {"spec": {"suspend": True}})["spec"]["suspend"], "it runs on")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED_TIMER)
def bob_puts_the_timer_off(stage: Stage) -> None:
    """bob gives the timer a later deadline."""
    made = stage.bob.patch(stage.timer, {"spec": {"activeDeadlineSeconds": 99999}})
    harm(made["spec"]["activeDeadlineSeconds"] == 99999, "the deadline is the same")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED_TIMER)
def bob_keeps_the_timer_after_its_end(stage: Stage) -> None:
    """bob takes ttlSecondsAfterFinished off the timer, so that it fails and stays, with all that it owns."""
    made = stage.bob.patch(stage.timer, {"spec": {"ttlSecondsAfterFinished": None}})
    harm("ttlSecondsAfterFinished" not in made["spec"], "it is still there")


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED_TIMER)
def bob_holds_the_timer_with_a_finalizer(stage: Stage) -> None:
    """bob puts a finalizer on the timer: it would be deleted, and be there."""
    stage.bob.patch(stage.timer, HOLD)


@TABLE.attack(Attacker.EDIT, Threat.EDITED_GRANT, RESERVED_TIMER)
def bob_frees_the_timer_of_its_job(stage: Stage) -> None:
    """bob takes the owner off the timer, so that the rights outlive the Job until the deadline."""
    made = stage.bob.patch(stage.timer, {"metadata": {"ownerReferences": None}})
    harm(not made["metadata"].get("ownerReferences"), "the owner is still there")


# More rights


@TABLE.attack(Attacker.EDIT, Threat.MORE_RIGHTS, NO_GRANT)
def ann_binds_admin_to_the_session(stage: Stage) -> None:
    """ann, who may bind her own rights, binds them to the session's ServiceAccount."""
    stage.ann.create(stage.scene.rbac("rolebindings"), bound(account_of(stage), stage.name))
    gains(stage)


@TABLE.attack(Attacker.EDIT, Threat.MORE_RIGHTS, NO_GRANT)
def ann_binds_admin_to_the_sessions_user(stage: Stage) -> None:
    """ann names the session by its user name instead."""
    stage.ann.create(stage.scene.rbac("rolebindings"), bound(user_of(stage), stage.name))
    gains(stage)


@TABLE.attack(Attacker.EDIT, Threat.MORE_RIGHTS, NO_GRANT)
def ann_adds_the_session_to_a_binding_of_hers(stage: Stage) -> None:
    """ann makes an ordinary RoleBinding first, and adds the session to its subjects."""
    path = stage.scene.rbac("rolebindings")
    person = {"kind": "User", "apiGroup": RBAC, "name": "carl"}
    stage.ann.create(path, bound(person, stage.name))
    stage.ann.patch(f"{path}/{stage.name}", {"subjects": [person, account_of(stage)]})
    gains(stage)


@TABLE.attack(Attacker.EDIT, Threat.MORE_RIGHTS, NO_GRANT)
def an_admin_of_another_namespace_binds_the_session_there(stage: Stage) -> None:
    """Somebody with admin in another namespace gives the session rights there."""
    other = Scene.make(stage.ground.cluster)
    other.ann.create(other.rbac("rolebindings"), bound(account_of(stage), stage.name))
    gains(stage, other)


@TABLE.attack(Attacker.EDIT, Threat.MORE_RIGHTS, NO_GRANT)
def an_administrator_binds_the_session_everywhere(stage: Stage) -> None:
    """Somebody who may write ClusterRoleBindings gives the session rights in the whole cluster."""
    body = bound(account_of(stage), f"{stage.scene.namespace}-{stage.name}", role="view")
    stage.admin.create(f"/apis/{RBAC}/v1/clusterrolebindings", body)


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, rbac(escalation=True))
def ann_gives_herself_use(stage: Stage) -> None:
    """ann, who may write Roles, gives herself `use` of every policy."""
    rule = {"apiGroups": ["tasksession.dev"], "resources": ["sessionpolicies"], "verbs": ["use"]}
    stage.ann.create(stage.scene.rbac("roles"), {"metadata": {"name": stage.name}, "rules": [rule]})


@TABLE.attack(Attacker.EDIT, Threat.UNASKED, rbac(escalation=True))
def ann_gives_herself_approve(stage: Stage) -> None:
    """ann, who may write Roles, gives herself `approve` of every policy."""
    rule = {"apiGroups": ["tasksession.dev"], "resources": ["sessionpolicies"], "verbs": ["approve"]}
    stage.ann.create(stage.scene.rbac("roles"), {"metadata": {"name": stage.name}, "rules": [rule]})


@TABLE.attack(Attacker.EDIT, Threat.MORE_RIGHTS, rbac(escalation=True))
def ann_binds_cluster_admin(stage: Stage) -> None:
    """ann binds cluster-admin in her namespace, which has all verbs, those of sessions too."""
    person = {"kind": "User", "apiGroup": RBAC, "name": "ann"}
    stage.ann.create(stage.scene.rbac("rolebindings"), bound(person, stage.name, role="cluster-admin"))


@TABLE.attack(Attacker.EDIT, Threat.BEYOND_POLICY, rbac('cannot patch resource "namespaces"'))
def ann_labels_her_namespace_for_a_policy(stage: Stage) -> None:
    """ann gives her namespace the labels by which a policy selects the namespaces it is for."""
    stage.ann.patch(f"/api/v1/namespaces/{stage.scene.namespace}", {"metadata": {"labels": {"tier": "prod"}}})


# Trust


@TABLE.attack(Attacker.EDIT, Threat.REDIRECTED_TRUST, guard("root-ca", words="Kubernetes alone publishes it"))
def bob_replaces_the_certificate_authority(stage: Stage) -> None:
    """bob puts his own authority into the ConfigMap by which pods know the API server."""
    scene = Scene.make(stage.ground.cluster)
    path = scene.core("configmaps", "kube-root-ca.crt")
    wait_for(lambda: scene.admin.find(path), timeout=10, what="kube-root-ca.crt")
    scene.bob.patch(path, {"data": {"ca.crt": "bob's"}, "immutable": True})
    harm(scene.admin.get(path)["data"]["ca.crt"] == "bob's", "it was published again")


@TABLE.attack(Attacker.EDIT, Threat.REDIRECTED_TRUST, guard("root-ca", words="Kubernetes alone publishes it"))
def bob_freezes_the_certificate_authority(stage: Stage) -> None:
    """bob makes the ConfigMap immutable, so that Kubernetes can never renew it."""
    scene = Scene.make(stage.ground.cluster)
    path = scene.core("configmaps", "kube-root-ca.crt")
    wait_for(lambda: scene.admin.find(path), timeout=10, what="kube-root-ca.crt")
    scene.bob.patch(path, {"immutable": True})


@TABLE.attack(
    Attacker.EDIT,
    Threat.REDIRECTED_TRUST,
    guard("root-ca", words="Kubernetes alone publishes it"),
    alone="Kubernetes publishes it again within a second, and bob would have to be faster",
)
def bob_deletes_the_certificate_authority_and_makes_his(stage: Stage) -> None:
    """bob deletes the ConfigMap, which he may, and creates one of that name."""
    scene = Scene.make(stage.ground.cluster)
    path = scene.core("configmaps", "kube-root-ca.crt")
    wait_for(lambda: scene.admin.find(path), timeout=10, what="kube-root-ca.crt")
    scene.bob.delete(path)
    body = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "bob's"}}
    scene.bob.create(scene.core("configmaps"), body)


@TABLE.attack(Attacker.EDIT, Threat.REDIRECTED_TRUST, guard("kubernetes-service", words="would redirect"))
def bob_makes_a_service_named_kubernetes(stage: Stage) -> None:
    """bob's Service of that name would be what pods find in KUBERNETES_SERVICE_HOST."""
    body = {"metadata": {"name": "kubernetes"}, "spec": {"ports": [{"port": 443}], "selector": {"app": "bob"}}}
    stage.bob.create(stage.scene.core("services"), body)


@TABLE.attack(
    Attacker.REQUESTER,
    Threat.REDIRECTED_TRUST,
    overwritten("job-injection", words="links: False"),
    also=("job-stamp",),
)
def a_job_asks_for_the_addresses_of_services(stage: Stage) -> None:
    """A Job with enableServiceLinks would find any Service of its namespace in its environment."""
    body = job_manifest(stage.name, annotations=ASKS, pod={"enableServiceLinks": True})
    made = stage.alice.create(stage.scene.batch("jobs"), body)
    links = made["spec"]["template"]["spec"]["enableServiceLinks"]
    harm(links, f"links: {links}")
