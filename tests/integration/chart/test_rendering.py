"""The chart's values: what is rendered from them, and what is refused with a sentence."""

import json
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.installation import CHART, InstallationError, helm, render


def rendered(cluster: Cluster, values: Object) -> dict[tuple[str, str], Object]:
    """Return the chart's objects by kind and name."""
    found = [each for each in yaml.safe_load_all(render(cluster, values=values)) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_lint_finds_nothing(cluster: Cluster) -> None:
    """`helm lint --strict` passes with the values as shipped and with a ceiling."""
    for values in ({}, {"ceiling": {"clusterRoles": ["view"]}}):
        given = json.dumps(values)
        helm(cluster, "lint", str(CHART), "--strict", "--kube-version", cluster.kubernetes, "-f", "-", given=given)


def test_older_servers_are_refused(cluster: Cluster) -> None:
    """Kubernetes before 1.36 lacks MutatingAdmissionPolicy, so the chart does not install there."""
    with pytest.raises(InstallationError, match=r"requires kubeVersion: >=1\.36"):
        helm(cluster, "template", "tasksession", str(CHART), "--kube-version", "1.35.4")


def test_the_ceiling_is_what_the_operator_may_hand_out(cluster: Cluster) -> None:
    """Listed ClusterRoles become `bind` on their names, rules are held as they are; without values nothing is."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    found = rendered(cluster, {"ceiling": {"clusterRoles": ["view", "edit"], "rules": [rule]}})
    bind = {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["clusterroles"],
        "resourceNames": ["view", "edit"],
    }
    assert found["ClusterRole", "tasksession-operator-ceiling"]["rules"] == [{**bind, "verbs": ["bind"]}, rule]
    assert rendered(cluster, {})["ClusterRole", "tasksession-operator-ceiling"]["rules"] == []


def writing(group: str, verb: str) -> Object:
    """A ceiling of one rule."""
    return {"rules": [{"apiGroups": [group], "resources": ["things"], "verbs": [verb]}]}


CEILINGS: list[Any] = [
    ({"clusterRoles": ["*"]}, "list each ClusterRole"),
    ({"clusterRoles": ["cluster-admin"]}, "could free itself from every limit"),
    ({"rules": [{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}]}, "has the wildcard"),
    ({"rules": [{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}]}, "has the wildcard"),
    ({"rules": [{"apiGroups": [""], "resources": ["pods/*"], "verbs": ["get"]}]}, "has the wildcard"),
    ({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]}, "has the wildcard"),
    ({"rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}]}, "go beyond the ceiling"),
    ({"rules": [{"apiGroups": ["g"], "resources": ["clusterroles"], "verbs": ["escalate"]}]}, "go beyond the ceiling"),
    ({"rules": [{"apiGroups": ["g"], "resources": ["clusterroles"], "verbs": ["bind"]}]}, "go beyond the ceiling"),
    (writing("authentication.k8s.io", "impersonate:serviceaccount"), "has the verb impersonate:serviceaccount"),
    (writing("", "impersonate-on:serviceaccount:list"), "has the verb impersonate-on:serviceaccount:list"),
    (writing("authentication.k8s.io", "create"), "has writes to authentication.k8s.io"),
    (writing("admissionregistration.k8s.io", "delete"), "has writes to admissionregistration.k8s.io"),
    (writing("rbac.authorization.k8s.io", "create"), "has writes to rbac.authorization.k8s.io"),
    (writing("certificates.k8s.io", "create"), "has writes to certificates.k8s.io"),
    (writing("tasksession.dev", "use"), "has writes to tasksession.dev"),
    ({"clusterRoles": ["it's"]}, "does not match pattern"),
    (writing("", "get'] || ['"), "does not match pattern"),
    ({"rules": [{"apiGroups": [""], "resources": [f"r{n}" for n in range(9000)], "verbs": ["get"]}]}, "is too long"),
]


@pytest.mark.parametrize(("ceiling", "words"), CEILINGS)
def test_a_ceiling_without_limit_is_refused(cluster: Cluster, ceiling: Object, words: str) -> None:
    """Wildcards and the verbs that lead out of RBAC's own limits are refused with a sentence."""
    with pytest.raises(InstallationError, match=words):
        render(cluster, values={"ceiling": ceiling})


WRONG: list[Any] = [
    {"celing": {}},
    {"maxGraceSeconds": 86400},
    {"jobTemplate": {"podSecurity": "restricted"}},
    {"controllers": {"job": ["a'b"]}},
    {"controllers": {"job": []}},
    {"serviceAccount": {"name": "A"}},
]


@pytest.mark.parametrize("values", WRONG)
def test_values_that_mean_nothing_are_refused(cluster: Cluster, values: Object) -> None:
    """A misspelt or impossible value does not pass silently."""
    with pytest.raises(InstallationError, match="values don't meet the specifications of the schema"):
        render(cluster, values=values)


def test_the_deployment_meets_the_restricted_standard(cluster: Cluster) -> None:
    """Two replicas that nothing privileges, probed, with a disruption budget; a single one needs no budget."""
    found = rendered(cluster, {"operator": {"create": True}})
    deployment = found["Deployment", "tasksession-operator"]
    assert deployment["spec"]["replicas"] == 2
    assert ("PodDisruptionBudget", "tasksession-operator") in found
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = pod["containers"][0]["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"
    single = rendered(cluster, {"operator": {"create": True, "replicas": 1}})
    assert ("PodDisruptionBudget", "tasksession-operator") not in single


def test_the_operator_holds_no_way_out(cluster: Cluster) -> None:
    """The operator's own ClusterRole has no wildcard, no Secrets, no tokens, and none of the escaping verbs."""
    found = rendered(cluster, {})
    rules = found["ClusterRole", "tasksession-operator"]["rules"]
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert not verbs & {"*", "bind", "escalate", "impersonate", "deletecollection"}
    assert not resources & {"*", "secrets", "serviceaccounts/token", "pods", "pods/exec"}


def test_edit_holders_get_no_say_over_policies(cluster: Cluster) -> None:
    """What is aggregated to view and edit has no verb on SessionPolicies, no status, no subresources."""
    found = rendered(cluster, {})
    for name in ("tasksession-view", "tasksession-edit", "tasksession-requester"):
        for rule in found["ClusterRole", name]["rules"]:
            assert "sessionpolicies" not in rule["resources"]
            assert not {verb for verb in rule["verbs"] if verb in ("use", "approve", "*")}
            assert not [each for each in rule["resources"] if each.startswith("tasksessions/")]
