"""The generated file: made from the guards that the chart has now."""

import re

from tasksession.api.tracking import TRACKING_KEYS
from tasksession.cluster.expected_guards import EXPECTED_GUARDS, GUARDS, SOURCE
from tests.cluster.guards_file import CHART, source


def test_the_file_was_written_after_the_last_change_of_a_guard() -> None:
    """The operator would take an edited guard for a weakened one: `make guards` writes the file anew."""
    assert source() == SOURCE, "a guard was changed: run make guards"


def test_every_guard_of_the_chart_is_expected() -> None:
    """One guard a file of the chart, each with a binding that denies."""
    files = {f"tasksession-{path.stem}" for path in (CHART / "templates" / "guards").glob("*.yaml")}
    assert {name for _, name in EXPECTED_GUARDS} == files
    assert all(guard.binding["policyName"] == guard.name for guard in GUARDS)
    validating = [guard for guard in GUARDS if guard.kind == "ValidatingAdmissionPolicy"]
    assert all(guard.binding["validationActions"] == ["Deny"] for guard in validating)


def test_the_guard_and_the_policy_know_one_list_of_tracking_marks() -> None:
    """Whatever Git holds keeps its tombstone, told by the same marks at admission and before a grant."""
    (guard,) = [each for each in GUARDS if each.name == "tasksession-tombstone"]
    for policy in guard.policies:
        (marks,) = [each["expression"] for each in policy["variables"] if each["name"] == "marks"]
        assert tuple(re.findall(r"'([^']+)'", marks)) == TRACKING_KEYS
