"""Attacks on the verdict by what policies list and roles hold: more than the ceiling, or what no session may have."""

from tests.attacks.attack import Attacker, Table, Threat
from tests.attacks.court import Court
from tests.attacks.table.verdicts import RBAC, denied, rule

TABLE = Table[Court]()


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("cluster-admin", "ceiling"))
def a_policy_lists_cluster_admin(court: Court) -> None:
    """A policy lists cluster-admin, which the operator may not bind."""
    roles = {"roles": [{"kind": "ClusterRole", "name": "cluster-admin"}]}
    court.asks(policy={"access": roles}, access=roles)


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("secrets"))
def a_policy_has_rules_beyond_the_ceiling(court: Court) -> None:
    """A policy's rules have Secrets, which the operator does not hold."""
    court.asks(policy={"access": rule(resources=["secrets"])}, access=rule(resources=["secrets"]))


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("*"))
def a_policy_allows_everything(court: Court) -> None:
    """A policy allows all verbs on all resources, and the session asks for that."""
    everything = rule(apiGroups=["*"], resources=["*"], verbs=["*"])
    court.asks(policy={"access": everything}, access=everything)


@TABLE.attack(Attacker.EDIT, Threat.BEYOND_CEILING, denied("Role mighty"))
def a_role_of_the_namespace_has_more_than_the_ceiling(court: Court) -> None:
    """A policy lists a Role of the namespace, and whoever is admin there filled it with Secrets."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
    path = f"{RBAC}/namespaces/{court.world.namespace}/roles"
    court.world.admin.create(path, {"metadata": {"name": "mighty"}, "rules": rules})
    roles = {"roles": [{"kind": "Role", "name": "mighty"}]}
    court.asks(policy={"access": roles}, access=roles)


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("create on jobs", "ceiling.rules"))
def a_policy_has_the_operators_working_rights(court: Court) -> None:
    """A policy's rules have what the operator holds for its own work, creating Jobs, and RBAC would let it hand on."""
    working = rule(apiGroups=["batch"], resources=["jobs"], verbs=["create"])
    court.asks(policy={"access": working}, access=working)


@TABLE.attack(
    Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("ClusterRole tasksession-operator", "ceiling.clusterRoles")
)
def a_policy_lists_the_operators_own_role(court: Court) -> None:
    """A policy lists the ClusterRole of the operator's own work, of which it holds every rule."""
    roles = {"roles": [{"kind": "ClusterRole", "name": "tasksession-operator"}]}
    court.asks(policy={"access": roles}, access=roles)


@TABLE.attack(Attacker.EDIT, Threat.BEYOND_CEILING, denied("Role working", "ceiling.rules"))
def a_role_of_the_namespace_has_the_operators_working_rights(court: Court) -> None:
    """A policy lists a Role of the namespace, and whoever is admin there filled it with what the operator holds."""
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete"]}]
    path = f"{RBAC}/namespaces/{court.world.namespace}/roles"
    court.world.admin.create(path, {"metadata": {"name": "working"}, "rules": rules})
    roles = {"roles": [{"kind": "Role", "name": "working"}]}
    court.asks(policy={"access": roles}, access=roles)


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("ClusterRole releaser", "change admission"))
def a_role_of_the_ceiling_changes_admission(court: Court) -> None:
    """A ClusterRole that policy and ceiling list comes to write admission policies, which admission never sees."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["patch"]}]
    court.world.admin.create(f"{RBAC}/clusterroles", {"metadata": {"name": "releaser"}, "rules": rules})
    roles = {"roles": [{"kind": "ClusterRole", "name": "releaser"}]}
    court.asks(policy={"access": roles}, access=roles)


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("change admission"))
def a_policy_lets_sessions_change_admission(court: Court) -> None:
    """A policy's rules have the guards themselves."""
    guards = rule(apiGroups=["admissionregistration.k8s.io"], resources=["*"], verbs=["delete"])
    court.asks(policy={"access": guards}, access=guards)


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("impersonate others"))
def a_policy_lets_sessions_impersonate(court: Court) -> None:
    """A policy's rules have the verbs of constrained impersonation."""
    verbs = ["impersonate:serviceaccount"]
    mode = rule(apiGroups=["authentication.k8s.io"], resources=["serviceaccounts"], verbs=verbs)
    court.asks(policy={"access": mode}, access=mode)


@TABLE.attack(Attacker.AUTHOR, Threat.BEYOND_CEILING, denied("start, approve or end sessions"))
def a_policy_lets_sessions_approve(court: Court) -> None:
    """A policy's rules have approvals of sessions."""
    approving = rule(apiGroups=["tasksession.dev"], resources=["sessionapprovals"], verbs=["create"])
    court.asks(policy={"access": approving}, access=approving)
