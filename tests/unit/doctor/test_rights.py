"""The doctor on rights: the operator's own, what it may hand out, and who else could act as a session."""

from __future__ import annotations

import pytest

from tasksession.doctor.finding import Area, Severity
from tests.unit.doctor.cluster_facts import (
    CEILING,
    EDIT,
    OWN,
    SUBJECT,
    Object,
    binding,
    bound,
    guards_with,
    namespace,
    only,
    report,
    role,
    rule,
    with_roles,
)  # fmt: skip
from tests.unit.guards.shipped import OPERATOR

RBAC = ["rbac.authorization.k8s.io"]
ADMISSION = ["admissionregistration.k8s.io"]
AUTHENTICATION = ["authentication.k8s.io"]
OURS = ["tasksession.dev"]

OWN_FAULTS = [
    (rule(["*"], ["jobs"], ["batch"]), Severity.FAILURE, "wildcard"),
    (rule(["get"], ["*"], ["batch"]), Severity.FAILURE, "wildcard"),
    (rule(["get"], ["jobs"], ["*"]), Severity.FAILURE, "wildcard"),
    (rule(["escalate"], ["clusterroles"], RBAC), Severity.FAILURE, "escalate"),
    (rule(["impersonate"], ["users"]), Severity.FAILURE, "impersonate"),
    (rule(["bind"], ["clusterroles"], RBAC), Severity.FAILURE, "bind on all clusterroles"),
    (rule(["bind"], ["roles", "clusterroles"], RBAC), Severity.FAILURE, "bind on all roles and clusterroles"),
    (rule(["bind"], ["clusterroles"], RBAC, resourceNames=["cluster-admin"]), Severity.FAILURE, "bind cluster-admin"),
    (rule(["delete"], ["validatingadmissionpolicies"], ADMISSION), Severity.FAILURE, "change admission"),
    (rule(["use"], ["sessionpolicies"], OURS), Severity.FAILURE, "SessionPolicies"),
    (rule(["impersonate:user-info"], ["users"], AUTHENTICATION), Severity.FAILURE, "verb impersonate:user-info"),
    (rule(["get"], ["secrets"]), Severity.WARNING, "on secrets"),
    (rule(["create"], ["serviceaccounts/token"]), Severity.WARNING, "on serviceaccounts/token"),
]  # fmt: skip


@pytest.mark.parametrize(("added", "severity", "words"), OWN_FAULTS, ids=[words for _, _, words in OWN_FAULTS])
def test_a_way_out_of_the_operators_limits_is_found(added: Object, severity: Severity, words: str) -> None:
    """Whatever RBAC gives the operator beyond its work is named with the role that gives it."""
    wide = role(OWN["metadata"]["name"], *OWN["rules"], added)
    found = [each for each in report(cluster_roles=with_roles(wide)).findings if each.area is Area.OPERATOR]
    assert [each.severity for each in found] and {each.severity for each in found} == {severity}
    assert any(words in each.problem for each in found), found
    assert {each.subject for each in found} == {"ClusterRole tasksession-operator"}


def test_a_role_that_somebody_else_bound_to_the_operator_counts() -> None:
    """By name or by a group that its ServiceAccount is in."""
    for subject in (SUBJECT, "Group system:serviceaccounts", f"User {OPERATOR}"):
        wide = role("wide", rule(["impersonate"], ["users"]))
        found = report(cluster_roles=with_roles(wide), cluster_role_bindings=bound(binding("w", "wide", subject)))
        assert any(each.subject == "ClusterRole wide" and each.area is Area.OPERATOR for each in found.findings)


def test_the_operators_own_account_of_its_rules_is_believed_at_its_start() -> None:
    """Where it may not read ClusterRoleBindings it asks the API server for its own rules."""
    finding = only(report(operator_user=OPERATOR, own_rules=(rule(["impersonate"], ["users"]),)))
    assert (finding.subject, finding.severity) == ("The operator", Severity.FAILURE)


def test_without_its_binding_nobody_knows_the_operator() -> None:
    """The chart's ClusterRoleBinding says who it is; without it that is a failure."""
    found = [each for each in report(cluster_role_bindings=()).findings if each.area is Area.OPERATOR]
    assert len(found) == 1 and "binds no ServiceAccount" in found[0].problem


def test_a_role_of_the_ceiling_exists() -> None:
    """A name in the ceiling that is no ClusterRole is a mistake in the chart's values."""
    bind = rule(["bind"], ["clusterroles"], RBAC, resourceNames=["view", "viewer"])
    finding = only(
        report(
            guards=guards_with(cluster_roles="['view', 'viewer']"),
            cluster_roles=with_roles(role(CEILING["metadata"]["name"], bind)),
        )
    )
    assert (finding.subject, finding.severity) == ("ClusterRole viewer", Severity.WARNING)
    assert "does not exist" in finding.problem


@pytest.mark.parametrize(
    ("rules", "values"),
    [
        ((), {"cluster_roles": "['view', 'edit']"}),
        ((), {"rules": "[{'verbs': ['get'], 'names': []}]", "numbers": "{'/pods': [0]}"}),
        ((rule(["get"], ["pods"]),), {}),
        ((rule(["get"], ["pods"], resourceNames=["a"]),), {"rules": "[{'verbs': ['get'], 'names': []}]",
          "numbers": "{'/pods': [0]}"}),
    ],
)  # fmt: skip
def test_role_and_guard_have_one_ceiling(rules: tuple[Object, ...], values: dict[str, str]) -> None:
    """A ceiling that was changed in one place is named: sessions get only what both have."""
    changed = role("tasksession-operator-ceiling", *CEILING["rules"], *rules)
    found = report(guards=guards_with(**values), cluster_roles=with_roles(changed))
    (finding,) = [each for each in found.findings if each.subject == "ClusterRole tasksession-operator-ceiling"]
    assert finding.severity is Severity.WARNING and "only what both have" in finding.problem


def test_a_ceiling_with_rules_is_recognized_in_the_guard() -> None:
    """The guard's text of a ceiling with rules and names is the one that the ClusterRole comes to."""
    rules = (rule(["get", "patch"], ["pods", "configmaps"], ["", "apps"]), rule(["get"], ["pods"], resourceNames=["a"]))
    same = guards_with(
        rules="[{'verbs': ['get', 'patch'], 'names': []}, {'verbs': ['get'], 'names': ['a']}]",
        numbers="{'/configmaps': [0], '/pods': [0, 1], 'apps/configmaps': [0], 'apps/pods': [0]}",
    )
    changed = role("tasksession-operator-ceiling", *CEILING["rules"], *rules)
    assert report(guards=same, cluster_roles=with_roles(changed)).findings == ()


CONSTRAINED = rule(["impersonate:serviceaccount"], ["serviceaccounts"], AUTHENTICATION)


def test_holders_of_constrained_impersonation_are_named() -> None:
    """Its verbs and its group are others than those of plain impersonation, and what it gives is the same here."""
    acts = role("acts", CONSTRAINED, rule(["impersonate-on:serviceaccount:list"], ["secrets"]))
    found = report(cluster_roles=with_roles(acts), role_bindings=(binding("a", "acts", "User eve", namespace="shop"),))
    finding = only(found)
    assert (finding.subject, finding.severity) == ("Namespace shop", Severity.WARNING)
    assert "User eve (acts) may impersonate ServiceAccounts here" in finding.problem
    everywhere = report(cluster_roles=with_roles(acts), cluster_role_bindings=bound(binding("a", "acts", "User eve")))
    assert any("in every namespace" in each.problem for each in everywhere.findings)
    beside = report(
        cluster_roles=with_roles(acts), role_bindings=(binding("a", "acts", "User eve", namespace="access"),)
    )
    assert any("in the operator's namespace" in each.problem for each in beside.findings)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (rule(["impersonate"], ["serviceaccounts"]), "the verb impersonate"),
        (rule(["impersonate-on:serviceaccount:get"], ["pods"]), "the verb impersonate-on:serviceaccount:get"),
        (rule(["create"], ["serviceaccounts/token"]), "tokens of other ServiceAccounts"),
        (rule(["bind"], ["roles"], RBAC), "the verb bind"),
        (rule(["*"], ["pods"]), "a wildcard"),
    ],
)
def test_a_role_of_the_ceiling_leads_nowhere_else(given: Object, words: str) -> None:
    """A session with `edit` could impersonate its neighbours: that the ceiling has it is said."""
    finding = only(report(cluster_roles=with_roles(role("view", given))))
    assert finding.severity is Severity.WARNING and words in finding.problem


def test_a_rule_on_urls_is_no_fault() -> None:
    """URLs are in no namespace, and a session cannot be given them."""
    urls = {"nonResourceURLs": ["*"], "verbs": ["*"]}
    assert report(cluster_roles=with_roles(role("view", urls), role("tasksession-operator", urls))).findings == ()


def test_holders_of_edit_where_sessions_are_are_noted() -> None:
    """They may impersonate: who they are, what guards refuse and what not."""
    found = report(role_bindings=(binding("e", "edit", "User bob", "Group devs", namespace="shop"),))
    finding = only(found)
    assert (finding.subject, finding.severity, found.status) == ("Namespace shop", Severity.NOTE, 0)
    assert "User bob (edit), Group devs (edit)" in finding.problem
    assert "Guards refuse" in finding.problem and "may read" in finding.problem


@pytest.mark.parametrize("where", ["elsewhere", "gone"])
def test_namespaces_without_sessions_are_left_alone(where: str) -> None:
    """Neither sessions nor policies nor holders of `use` there: nobody can act as a session in it."""
    assert report(role_bindings=(binding("e", "edit", "User bob", namespace=where),)).findings == ()


def test_a_namespace_is_a_sessions_by_label_by_use_and_by_being_asked_for() -> None:
    """A policy may choose by label, a holder of `use` makes it one, and --namespace names it."""
    edits = binding("e", "edit", "User bob", namespace="elsewhere")
    labelled = {"metadata": {"name": "p"}, "spec": {"namespaces": {"matchLabels": {"team": "x"}}}}
    spaces = (namespace("shop"), namespace("elsewhere", team="x"))
    assert report(role_bindings=(edits,), policies=(labelled,), namespaces=spaces).findings
    use = role("use", rule(["use"], ["sessionpolicies"], OURS, resourceNames=["triage"]), namespace="elsewhere")
    uses = binding("u", "use", "User ann", namespace="elsewhere", kind="Role")
    assert report(role_bindings=(edits, uses), roles=(use,)).findings
    assert report(role_bindings=(edits,), only=("elsewhere",)).findings


def test_another_role_that_impersonates_is_a_warning() -> None:
    """What the built-in roles have is known; what somebody made is not."""
    made = role("helper", rule(["impersonate"], ["serviceaccounts"]), namespace="shop")
    held = binding("h", "helper", "User bob", namespace="shop", kind="Role")
    finding = only(report(roles=(made,), role_bindings=(held,)))
    assert (finding.subject, finding.severity) == ("Namespace shop", Severity.WARNING)


def test_a_wildcard_where_sessions_are_is_a_warning() -> None:
    """cluster-admin bound in a namespace has `use`, `approve`, exec and tokens there."""
    finding = only(report(role_bindings=(binding("w", "cluster-admin", "User ann", namespace="shop"),)))
    assert finding.severity is Severity.WARNING
    assert "use and approve every SessionPolicy" in finding.problem


def test_cluster_administrators_are_noted_and_a_serviceaccount_among_them_is_a_warning() -> None:
    """People who are administrators are; a ServiceAccount is whoever may start pods beside it."""
    more = bound(binding("root", "cluster-admin", "User root", "ServiceAccount tools/argocd"))
    note, warning = sorted(report(cluster_role_bindings=more).findings, key=lambda each: each.severity)
    assert (note.severity, warning.severity) == (Severity.NOTE, Severity.WARNING)
    assert "User root" in note.problem and "argocd" not in note.problem
    assert warning.subject == "ServiceAccount tools/argocd" and "tools" in warning.problem


def test_what_kubernetes_brings_itself_is_not_mentioned() -> None:
    """Its controllers and system:masters hold much; another subject in such a binding is somebody's doing."""
    own = binding("system:controller:x", "edit", "ServiceAccount kube-system/x", "User mallory")
    own["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    found = report(cluster_role_bindings=bound(own)).findings
    assert found and all("mallory" in each.problem and "kube-system/x" not in each.problem for each in found)


def test_who_may_change_guards_is_a_warning() -> None:
    """Any write on policies or bindings, by any role that is bound everywhere."""
    tool = role("policies", rule(["patch"], ["validatingadmissionpolicybindings"], ADMISSION))
    found = report(cluster_roles=with_roles(tool), cluster_role_bindings=bound(binding("p", "policies", "User carl")))
    finding = only(found)
    assert finding.subject == "ClusterRole policies" and "User carl may change" in finding.problem


def test_who_may_impersonate_everywhere_is_a_warning() -> None:
    """edit bound for the whole cluster reaches the namespaces of all sessions, and the operator's own."""
    found = report(cluster_role_bindings=bound(binding("p", "edit", "User carl"))).findings
    assert {each.severity for each in found} == {Severity.WARNING}
    assert {each.subject for each in found} == {"ClusterRole edit", "Namespace access"}


def test_edit_in_the_operators_namespace_is_a_warning() -> None:
    """Who starts pods there is the operator."""
    finding = only(report(role_bindings=(binding("e", "edit", "User bob", namespace="access"),)))
    assert finding.subject == "Namespace access" and "and so be it" in finding.problem
    assert finding.severity is Severity.WARNING


def test_the_operators_own_leases_are_no_finding() -> None:
    """Its Role in its own namespace starts nothing."""
    own = role("tasksession-operator", rule(["create"], ["leases"], ["coordination.k8s.io"]), namespace="access")
    held = binding("tasksession-operator", "tasksession-operator", SUBJECT, namespace="access", kind="Role")
    assert report(roles=(own,), role_bindings=(held,)).findings == ()


@pytest.mark.parametrize("group", ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"])
def test_a_role_for_a_group_of_sessions_is_a_warning(group: str) -> None:
    """Whoever is bound by such a group gives every session there more than it asked for."""
    finding = only(report(role_bindings=(binding("g", "view", f"Group {group}", namespace="shop"),)))
    assert finding.subject == "RoleBinding shop/g" and group in finding.problem
    everywhere = report(cluster_role_bindings=bound(binding("g", "view", f"Group {group}"))).findings
    assert any(each.subject == "ClusterRoleBinding g" for each in everywhere)


def test_groups_that_no_session_is_in_are_left_alone() -> None:
    """ServiceAccounts of another namespace are none of a session's."""
    others = binding("g", "view", "Group system:serviceaccounts:elsewhere", namespace="shop")
    assert report(role_bindings=(others,)).findings == ()


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("use", "sessionpolicies"), ("approve", "sessionpolicies"), ("create", "tasksessions/exec"),
     ("create", "tasksessions/token"), ("patch", "tasksessions/status")],
)  # fmt: skip
def test_reserved_verbs_are_not_aggregated(verb: str, resource: str) -> None:
    """A role that many hold must not have what is given one by one."""
    added = rule([verb], [resource], OURS)
    labels = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
    finding = only(report(cluster_roles=with_roles(role("more", added, labels=labels))))
    assert (finding.subject, finding.severity) == ("ClusterRole more", Severity.FAILURE)
    assert f"{verb} on {resource}" in finding.problem and "edit" in finding.problem
    finding = only(report(cluster_roles=with_roles(role("edit", *EDIT["rules"], added))))
    assert finding.subject == "ClusterRole edit"


def test_a_serviceaccount_that_asks_for_sessions_is_a_warning() -> None:
    """Its right is that of whoever may run pods as it."""
    use = role("use", rule(["use"], ["sessionpolicies"], OURS, resourceNames=["triage"]), namespace="shop")
    uses = binding("u", "use", "ServiceAccount shop/ci", "User ann", namespace="shop", kind="Role")
    finding = only(report(roles=(use,), role_bindings=(uses,)))
    assert (finding.subject, finding.severity) == ("ServiceAccount shop/ci", Severity.WARNING)


def test_bindings_of_sessions_are_not_looked_at() -> None:
    """A session that was given `edit` is no person with `edit`."""
    given = binding(
        "x", "edit", "ServiceAccount shop/ts-11111111-1111-1111-1111-111111111111-1800000000", namespace="shop"
    )
    assert report(role_bindings=(given,)).findings == ()


def test_namespaces_that_are_alike_are_one_finding() -> None:
    """The same people in many namespaces are named once."""
    edits = tuple(binding("e", "edit", "User bob", namespace=name) for name in ("shop", "elsewhere"))
    found = report(role_bindings=edits, only=("shop", "elsewhere"))
    assert only(found).subject == "Namespaces shop, elsewhere"
