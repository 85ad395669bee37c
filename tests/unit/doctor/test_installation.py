"""The doctor on guards, definitions and the API server: what is wrong with each, and what could not be seen."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from tasksession.doctor.examination import examine
from tasksession.doctor.facts import Facts, Unread, Unreadable
from tasksession.doctor.finding import Area, Severity
from tests.unit.doctor.cluster_facts import PLAIN, Object, definition, healthy, only, report
from tests.unit.guards.shipped import installed

POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"


def test_a_healthy_cluster_has_no_findings() -> None:
    """Where all is fine the doctor says so, with status 0."""
    found = report()
    assert found.findings == ()
    assert found.status == 0


def guards(values: Mapping[str, str], *, without: tuple[str, str] | None = None) -> dict[str, Any]:
    """The guards as facts, one of them taken away, or others' values in them."""
    items = installed({**PLAIN, **values})
    return {"guards": tuple((plural, item) for (plural, name), item in items.items() if (plural, name) != without)}


def test_a_missing_guard_is_a_failure() -> None:
    """It is named with its kind, and what to do is said."""
    finding = only(report(**guards({}, without=(POLICIES, "tasksession-token"))))
    assert (finding.area, finding.severity) == (Area.GUARDS, Severity.FAILURE)
    assert finding.subject == "ValidatingAdmissionPolicy tasksession-token"
    assert finding.problem == "It is not installed."
    assert "chart" in finding.advice


def test_a_weakened_guard_is_a_failure() -> None:
    """The field that differs stands in the sentence."""
    items = copy.deepcopy(installed(PLAIN))
    items[BINDINGS, "tasksession-use"]["spec"]["validationActions"] = ["Warn"]
    finding = only(report(guards=tuple((plural, item) for (plural, _), item in items.items())))
    assert finding.problem == (
        "Its binding tasksession-use is not in force: spec.validationActions[0] is Warn instead of Deny."
    )
    items = copy.deepcopy(installed(PLAIN))
    items[POLICIES, "tasksession-use"]["spec"]["failurePolicy"] = "Ignore"
    finding = only(report(guards=tuple((plural, item) for (plural, _), item in items.items())))
    assert finding.problem == "Its spec.failurePolicy is Ignore instead of Fail."


def test_no_guards_at_all_is_one_finding() -> None:
    """A cluster without the chart's guards gets one sentence, not thirty."""
    assert "None of the" in only(report(guards=())).problem


def test_guards_that_mean_another_operator_are_failures() -> None:
    """The binding of the operator's role says who it is."""
    found = report(**guards({"user:operator": "system:serviceaccount:access:other"}))
    assert found.status == 1
    assert any("system:serviceaccount:access:other" in each.problem for each in found.findings)


def test_users_that_the_chart_does_not_bring_are_named() -> None:
    """A list of exempted users that somebody widened is a warning; of audiences, a note."""
    finding = only(report(**guards({"strings:controllers.rootCA": "['system:kube-controller-manager', 'mallory']"})))
    assert finding.severity is Severity.WARNING and "mallory" in finding.problem
    assert "system:kube-controller-manager" not in finding.problem
    found = report(**guards({"strings:tokens.sparedAudiences": "['mesh']"}))
    assert only(found).severity is Severity.NOTE and found.status == 0


def test_sessions_in_kube_system_are_a_warning() -> None:
    """A chart value that opens Kubernetes' own namespaces is a legal one, and said."""
    finding = only(report(**guards({"namespaces:excludedNamespaces": "access|kube-public"})))
    assert finding.severity is Severity.WARNING and "kube-system" in finding.problem


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (None, "not installed"),
        (definition(storedVersions=["v1alpha0", "v1alpha1"]), "v1alpha0, which is not served"),
        (definition(conditions=[]), "not accepted it"),
        ({"spec": {"versions": [{"name": "v1alpha1", "served": False}]}}, "does not serve version v1alpha1"),
    ],
)
def test_a_definition_that_is_not_served_is_a_failure(broken: Any, words: str) -> None:
    """Missing, not accepted, or with objects stored in a version that nobody can read."""
    listed = healthy().definitions
    assert isinstance(listed, dict)
    finding = only(report(definitions={**listed, "sessionpolicies.tasksession.dev": broken}))
    assert finding.severity is Severity.FAILURE and words in finding.problem
    assert finding.subject == "CustomResourceDefinition sessionpolicies.tasksession.dev"


def test_an_api_server_without_mutating_policies_is_a_failure() -> None:
    """Without MutatingAdmissionPolicy v1 nothing is stamped."""
    finding = only(report(admission_resources=("validatingadmissionpolicies", "validatingadmissionpolicybindings")))
    assert "mutatingadmissionpolicies" in finding.problem


def api_server(*words: str) -> Object:
    """A pod of the API server as kubeadm makes it."""
    container = {"name": "kube-apiserver", "command": ["kube-apiserver", "--secure-port=6443", *words]}
    return {"metadata": {"name": "kube-apiserver-one", "namespace": "kube-system"}, "spec": {"containers": [container]}}


def test_an_api_server_that_lets_anybody_hold_deletions_is_noted() -> None:
    """Where the API server runs in pods, its command tells which admission plugins it has."""
    plugin = "OwnerReferencesPermissionEnforcement"
    found = report(api_servers=(api_server("--enable-admission-plugins=NodeRestriction"),))
    assert (only(found).severity, found.status) == (Severity.NOTE, 0)
    assert f"kube-apiserver-one: {plugin} is off" in only(found).problem
    assert report(api_servers=(api_server(f"--enable-admission-plugins=NodeRestriction,{plugin}"),)).findings == ()
    assert only(report(api_servers=(api_server(f"--disable-admission-plugins={plugin}"),)))


NO_LISTINGS = ("operator_user", "only", "own_rules", "namespaces", "unreadable")
LISTINGS = [each.name for each in fields(Facts) if each.name not in NO_LISTINGS]


@pytest.mark.parametrize("listing", LISTINGS)
def test_nothing_passes_because_it_could_not_be_read(listing: str) -> None:
    """Each listing that was refused is a finding of its own, with the refusal, and changes the status."""
    found = report(None, **{listing: Unread("bob may not list this.")})
    assert any(
        each.severity is Severity.UNCHECKED and "bob may not list this." in each.problem for each in found.findings
    ), found.findings
    assert found.status == 3 or listing == "cluster_role_bindings"


def test_an_object_that_is_too_large_to_be_read_is_a_gap() -> None:
    """It is named, in the area in which it would have been judged, and changes the status."""
    found = report(unreadable=(Unreadable("RoleBinding", "team/wide", "it is larger than 256 KiB"),))
    assert (only(found).area, only(found).subject, found.status) == (Area.PEOPLE, "RoleBinding team/wide", 3)


def test_what_nobody_asked_for_is_no_gap() -> None:
    """At the operator's start parts are left out on purpose: no finding says that they could not be checked."""
    facts = Facts(operator_user="system:serviceaccount:access:session-operator", own_rules=())
    assert examine(facts, (), {}).findings == ()
