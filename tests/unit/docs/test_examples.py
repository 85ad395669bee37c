"""The YAML of the README is valid, and the same as in examples/quickstart."""

from __future__ import annotations

from typing import Any

import yaml

from tasksession.api import names
from tasksession.api.access import PolicyRule
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tests.unit.docs.pages import ROOT, blocks

README = ROOT / "README.md"
EXAMPLES = ROOT / "examples" / "quickstart"


def documents() -> list[dict[str, Any]]:
    """Return all YAML documents of the README."""
    return [document for block in blocks(README, "yaml") for document in yaml.safe_load_all(block)]


def examples() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the quickstart's documents by kind and name."""
    found = [each for file in sorted(EXAMPLES.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_the_objects_of_the_readme_are_those_of_the_quickstart() -> None:
    """A reader who copies from the README gets what the demo has shown."""
    objects = [document for document in documents() if "kind" in document]
    assert {document["kind"] for document in objects} == {"SessionPolicy", "TaskSession"}
    for document in objects:
        assert document == examples()[document["kind"], document["metadata"]["name"]]


def test_the_objects_of_readme_and_quickstart_fit_the_models() -> None:
    """Each object of ours is read by its model, and no field of it is unknown to the model."""
    kinds: dict[str, type[SessionPolicy] | type[TaskSession]] = {
        "SessionPolicy": SessionPolicy,
        "TaskSession": TaskSession,
    }
    ours = [each for each in [*documents(), *examples().values()] if each.get("apiVersion") == names.API_VERSION]
    assert len(ours) >= 5
    for document in ours:
        model = kinds[document["kind"]].model_validate(document)
        spec = model.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]
        assert set(document["spec"]) <= set(spec), document["metadata"]["name"]


def test_the_ceiling_of_the_readme_covers_its_policy() -> None:
    """The values that the README shows allow what its SessionPolicy allows."""
    (values,) = [document for document in documents() if "kind" not in document]
    ceiling = values["ceiling"]
    policy = SessionPolicy.model_validate(examples()["SessionPolicy", "ticket-triage"])
    assert {role.name for role in policy.spec.access.roles} <= set(ceiling["clusterRoles"])
    held = [PolicyRule.model_validate(rule) for rule in ceiling["rules"]]
    for rule in policy.spec.access.rules:
        assert any(set(rule.resources) <= set(each.resources) and set(rule.verbs) <= set(each.verbs) for each in held)
