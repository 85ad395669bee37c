"""The guards as installed: complete, typed, binding, and known to the operator."""

from pathlib import Path

import yaml

from tasksession.cluster.expected_guards import EXPECTED_GUARDS, GUARD_LABEL
from tests.cluster import Api, Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.installation import render

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def rendered(cluster: Cluster, *kinds: str) -> list[Object]:
    """Return the chart's objects of some kinds."""
    return [each for each in yaml.safe_load_all(render(cluster)) if each and each["kind"] in kinds]


def test_the_operator_demands_exactly_the_guards_of_the_chart(guarded_cluster: Cluster) -> None:
    """A guard that the chart has and the operator does not demand, or the other way round, is a mistake."""
    found = rendered(guarded_cluster, "MutatingAdmissionPolicy", "ValidatingAdmissionPolicy")
    assert sorted((each["kind"], each["metadata"]["name"]) for each in found) == sorted(EXPECTED_GUARDS)


def test_every_guard_is_documented() -> None:
    """docs/guards.md names each guard, so that who meets a refusal finds its reason."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "guards.md").read_text()
    assert [name for _, name in EXPECTED_GUARDS if f"`{name.removeprefix('tasksession-')}`" not in text] == []


def test_every_guard_is_bound_to_everything_and_fails_closed(guarded_cluster: Cluster) -> None:
    """A guard that cannot be evaluated refuses, and no binding leaves anything out."""
    policies = rendered(guarded_cluster, "MutatingAdmissionPolicy", "ValidatingAdmissionPolicy")
    assert {each["spec"]["failurePolicy"] for each in policies} == {"Fail"}
    assert all(GUARD_LABEL in each["metadata"]["labels"] for each in policies)
    bindings = rendered(guarded_cluster, "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicyBinding")
    assert sorted(each["spec"]["policyName"] for each in bindings) == sorted(name for _, name in EXPECTED_GUARDS)
    assert all("matchResources" not in each["spec"] for each in bindings)
    validating = [each["spec"] for each in bindings if each["kind"].startswith("Validating")]
    assert all(spec["validationActions"] == ["Deny"] for spec in validating)


def test_every_expression_passes_the_type_check(guarded: Api) -> None:
    """The API server has checked every expression against the kinds it is for, and warns of none."""

    def checked() -> list[Object] | None:
        policies = guarded.list(POLICIES, labelSelector=GUARD_LABEL)
        done = all("typeChecking" in each.get("status", {}) for each in policies)
        return policies if done else None

    policies = wait_for(checked, timeout=30, what="the type checks of all guards")
    warnings = {
        each["metadata"]["name"]: each["status"]["typeChecking"]["expressionWarnings"]
        for each in policies
        if each["status"]["typeChecking"].get("expressionWarnings")
    }
    assert warnings == {}
