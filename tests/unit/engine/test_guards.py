"""Whether the guards are in force: listed, present, failing closed, and bound so that they refuse everywhere."""

from typing import Any

import pytest

from tasksession.engine.guards import Guards

VALIDATING, MUTATING = "validatingadmissionpolicies", "mutatingadmissionpolicies"
EXPECTED = [("ValidatingAdmissionPolicy", "token"), ("MutatingAdmissionPolicy", "stamp")]


def policy(name: str, **spec: Any) -> dict[str, Any]:
    """An admission policy."""
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {"failurePolicy": "Fail", **spec}}


def binding(name: str, **spec: Any) -> dict[str, Any]:
    """A binding of the policy of the same name."""
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {"policyName": name, **spec}}


def complete() -> list[tuple[str, dict[str, Any]]]:
    """A listing in which all is in order."""
    return [
        (VALIDATING, policy("token")),
        ("validatingadmissionpolicybindings", binding("token", validationActions=["Deny"])),
        (MUTATING, policy("stamp")),
        ("mutatingadmissionpolicybindings", binding("stamp")),
    ]


def listed() -> Guards:
    """Guards that were listed and are complete."""
    guards = Guards(EXPECTED)
    guards.replace(complete())
    return guards


def test_nothing_is_in_force_before_the_first_listing() -> None:
    """Single events do not make up for a listing that has not come."""
    guards = Guards(EXPECTED)
    assert guards.missing()
    for plural, item in complete():
        guards.see(plural, item)
    assert guards.missing() == ("not listed yet",)


def test_a_complete_listing_is_in_force() -> None:
    """All expected policies, each bound: nothing is missing."""
    assert listed().missing() == ()


@pytest.mark.parametrize("left_out", range(4))
def test_a_policy_or_binding_that_is_not_there_is_missed(left_out: int) -> None:
    """A policy without its binding refuses nothing, and the other way round."""
    guards = Guards(EXPECTED)
    items = complete()
    guards.replace(items[:left_out] + items[left_out + 1 :])
    assert guards.missing() == (("token",) if left_out < 2 else ("stamp",))


@pytest.mark.parametrize(
    ("plural", "item"),
    [
        (VALIDATING, policy("token", failurePolicy="Ignore")),
        ("validatingadmissionpolicybindings", binding("token", validationActions=["Audit", "Warn"])),
        ("validatingadmissionpolicybindings", binding("token")),
        ("validatingadmissionpolicybindings", binding("token", policyName="other", validationActions=["Deny"])),
        *(
            ("validatingadmissionpolicybindings", binding("token", validationActions=["Deny"], matchResources=match))
            for match in (
                {"namespaceSelector": {"matchLabels": {"guarded": "yes"}}},
                {"objectSelector": {"matchLabels": {"guarded": "yes"}}},
                {"excludeResourceRules": [{"resources": ["pods"]}]},
                {"resourceRules": [{"resources": ["pods"]}]},
            )
        ),
    ],
)
def test_a_guard_that_would_not_refuse_is_missed(plural: str, item: dict[str, Any]) -> None:
    """Failing open, only auditing, bound to something else, or leaving requests out: as good as not there."""
    guards = listed()
    guards.see(plural, item)
    assert guards.missing() == ("token",)


def test_empty_selectors_leave_nothing_out() -> None:
    """The API server fills selectors in with empty ones, which match everything."""
    guards = listed()
    match: dict[str, Any] = {"namespaceSelector": {}, "objectSelector": {}, "matchPolicy": "Equivalent"}
    guards.see("validatingadmissionpolicybindings", binding("token", validationActions=["Deny"], matchResources=match))
    assert guards.missing() == ()


def test_a_second_binding_that_holds_is_enough() -> None:
    """One binding that narrows does not take from another that does not."""
    guards = listed()
    narrow = binding("token", validationActions=["Deny"], matchResources={"resourceRules": [{"resources": ["pods"]}]})
    narrow["metadata"]["name"] = "narrow"
    guards.see("validatingadmissionpolicybindings", narrow)
    assert guards.missing() == ()


def test_a_binding_of_the_other_kind_does_not_count() -> None:
    """A mutating binding of a validating policy's name binds nothing."""
    guards = Guards(EXPECTED)
    items = complete()
    guards.replace([items[0], ("mutatingadmissionpolicybindings", binding("token")), *items[2:]])
    assert guards.missing() == ("token",)


def test_a_deletion_is_noticed_and_that_of_a_predecessor_is_not() -> None:
    """What was deleted and made anew under its name is there; a late event about the old one changes nothing."""
    guards = listed()
    old = policy("token")
    old["metadata"]["uid"] = "older"
    guards.lose(VALIDATING, old)
    assert guards.missing() == ()
    guards.lose(VALIDATING, policy("token"))
    assert guards.missing() == ("token",)


def test_a_new_listing_replaces_all_that_was_seen() -> None:
    """What a listing does not show is not there, though no event told of its end."""
    guards = listed()
    guards.replace([])
    assert guards.missing() == ("token", "stamp")


def test_guards_are_made_of_four_resources() -> None:
    """Policies and bindings of both kinds concern it, and nothing else."""
    assert all(Guards.concerns(plural) for plural, _ in complete())
    assert not Guards.concerns("jobs")
