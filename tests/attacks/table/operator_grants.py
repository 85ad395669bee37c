"""Attacks with the operator's own token on what it hands out: rights, to whom, and for how long."""

from datetime import timedelta

from tasksession.lifecycle import manifests
from tests.attacks.attack import Attacker, Table, Threat, guard, rbac
from tests.attacks.forging import (
    UID,
    account,
    another,
    binding,
    ceiling,
    children,
    made,
    role,
    timer,
)
from tests.attacks.stage import RBAC, Stage

TABLE = Table[Stage]()
HOURS_25 = timedelta(hours=25)


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


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, ceiling("go beyond ceiling.rules"))
def the_operator_grants_the_right_to_create_jobs(stage: Stage) -> None:
    """The operator writes a Role with a right that it holds for its own work, and that RBAC lets it hand on."""
    working = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
    stage.operator.create(stage.scene.rbac("roles"), role(stage, working))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, ceiling("go beyond ceiling.rules"))
def the_operator_grants_the_right_to_grant(stage: Stage) -> None:
    """The operator writes a Role with its right to create RoleBindings, hidden behind a rule of the ceiling."""
    within = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    beyond = {"apiGroups": [RBAC], "resources": ["rolebindings"], "verbs": ["create"]}
    stage.operator.create(stage.scene.rbac("roles"), role(stage, within, beyond))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, ceiling("not in ceiling.clusterRoles"))
def the_operator_binds_its_own_role(stage: Stage) -> None:
    """The operator binds the ClusterRole of its own work to a session: it holds all that this role has."""
    stage.operator.create(stage.scene.rbac("rolebindings"), binding(stage, "tasksession-operator"))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, guard("operator-child-create", "subjects", words=""))
def the_operator_binds_to_a_user(stage: Stage) -> None:
    """The operator binds the role edit to a user instead of a session."""
    person = {"kind": "User", "apiGroup": RBAC, "name": "mallory"}
    stage.operator.create(stage.scene.rbac("rolebindings"), {**binding(stage, "edit"), "subjects": [person]})


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, guard("operator-child-create", "subjects", words=""))
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


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, made("at most 24 hours ahead"))
def the_operator_makes_a_timer_for_longer(stage: Stage) -> None:
    """The operator makes a timer whose deadline is more than a day ahead."""
    stage.operator.create(stage.scene.batch("jobs"), timer(stage, another(stage, lasts=HOURS_25)))


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, made("a timer ends at its session's deadline"))
def the_operator_makes_a_timer_that_is_late(stage: Stage) -> None:
    """The operator makes a timer that fires hours after the deadline in its name."""
    body = timer(stage, another(stage))
    body["spec"]["activeDeadlineSeconds"] = 7200
    stage.operator.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, made("a timer has no pods"))
def the_operator_makes_a_timer_that_stays(stage: Stage) -> None:
    """The operator makes a timer that is not removed when it has failed."""
    body = timer(stage, another(stage))
    del body["spec"]["ttlSecondsAfterFinished"]
    stage.operator.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, made("a timer has no pods"))
def the_operator_makes_a_timer_that_waits(stage: Stage) -> None:
    """The operator makes a timer that is suspended."""
    body = timer(stage, another(stage))
    body["spec"]["suspend"] = True
    stage.operator.create(stage.scene.batch("jobs"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_ENDLESS, made("a timer has no pods"))
def the_operator_makes_a_timer_that_nobody_runs(stage: Stage) -> None:
    """The operator makes a timer that is somebody else's controller's to run, so that no deadline ends it."""
    body = timer(stage, another(stage))
    body["spec"]["managedBy"] = "example.com/nobody"
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


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_GRANTS, children("the labels of a session and no others"))
def the_operator_labels_an_identity_for_the_cloud(stage: Stage) -> None:
    """The operator labels an identity, so that the cloud gives its pods a credential."""
    body = account(stage)
    body["metadata"]["labels"] |= {"azure.workload.identity/use": "true"}
    stage.operator.create(stage.scene.core("serviceaccounts"), body)


@TABLE.attack(Attacker.OPERATOR, Threat.OPERATOR_SUBJECTS, children("it is not named like a session"))
def the_operator_makes_an_ordinary_serviceaccount(stage: Stage) -> None:
    """The operator makes a ServiceAccount whose tokens no guard watches."""
    stage.operator.create(stage.scene.core("serviceaccounts"), account(stage, name=stage.name))
