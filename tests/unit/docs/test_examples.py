"""The YAML of the README is valid and the same as in examples/, and each example is what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasksession.api import names
from tasksession.api.access import PolicyRule
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tasksession.lifecycle.asking import read_access
from tests.support.pages import ROOT, blocks, links, rows

README = ROOT / "README.md"
EXAMPLES = ROOT / "examples"
FOLDERS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())
KINDS: dict[str, type[SessionPolicy] | type[TaskSession]] = {"SessionPolicy": SessionPolicy, "TaskSession": TaskSession}
ASKING = "Jobs and CronJobs with one annotation"


def documents() -> list[dict[str, Any]]:
    """Return all YAML documents of the README."""
    return [document for block in blocks(README, "yaml") for document in yaml.safe_load_all(block)]


def objects_of(folder: Path) -> list[dict[str, Any]]:
    """Return the objects of one example, in the order of its files."""
    return [each for file in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]


def examples() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the objects of all examples by kind and name; those of the README have names of their own."""
    return {
        (each["kind"], each["metadata"]["name"]): each for folder in FOLDERS for each in reversed(objects_of(folder))
    }


def annotations_of(item: dict[str, Any]) -> dict[str, str]:
    """Return our annotations of a Job, or of the runs of a CronJob."""
    metadata = item["spec"]["jobTemplate"]["metadata"] if item["kind"] == "CronJob" else item["metadata"]
    return {key: value for key, value in metadata.get("annotations", {}).items() if key.startswith(names.GROUP)}


def jobs() -> list[dict[str, Any]]:
    """Return the Jobs and CronJobs of all examples."""
    return [each for folder in FOLDERS for each in objects_of(folder) if each["kind"] in ("Job", "CronJob")]


def test_the_objects_of_the_readme_are_those_of_the_examples() -> None:
    """A reader who copies from the README gets what the demo, or a test, has shown."""
    objects = [document for document in documents() if "kind" in document]
    assert {document["kind"] for document in objects} == {"ClusterRole", "SessionPolicy", "TaskSession", "Job"}
    for document in objects:
        assert document == examples()[document["kind"], document["metadata"]["name"]]


def test_the_readme_links_every_example() -> None:
    """No example is left to be found by chance."""
    linked = {target for target in links(README) if target.startswith("examples/")}
    assert linked == {f"examples/{folder.name}" for folder in FOLDERS}


def test_the_objects_of_readme_and_examples_fit_the_models() -> None:
    """Each object of ours is read by its model, and no field of it is unknown to the model."""
    ours = [each for each in [*documents(), *examples().values()] if each.get("apiVersion") == names.API_VERSION]
    assert len(ours) >= 5
    for document in ours:
        model = KINDS[document["kind"]].model_validate(document)
        spec = model.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]
        assert set(document["spec"]) <= set(spec), document["metadata"]["name"]


def test_the_ceiling_of_the_readme_covers_every_policy() -> None:
    """The values that the README shows allow what the SessionPolicies of README and examples allow."""
    (values,) = [document for document in documents() if "kind" not in document]
    assert values == yaml.safe_load((EXAMPLES / "values.yaml").read_text())
    ceiling = values["ceiling"]
    held = [PolicyRule.model_validate(rule) for rule in ceiling["rules"]]
    for found in [each for each in examples().values() if each["kind"] == "SessionPolicy"]:
        policy = SessionPolicy.model_validate(found)
        assert {role.name for role in policy.spec.access.roles} <= set(ceiling["clusterRoles"])
        for rule in policy.spec.access.rules:
            assert any(
                set(rule.resources) <= set(each.resources) and set(rule.verbs) <= set(each.verbs) for each in held
            )


def test_annotations_make_the_difference() -> None:
    """Jobs and CronJobs of the examples differ from ordinary ones in annotations alone, the first in a single one."""
    assert len(jobs()) >= 4
    assert list(annotations_of(jobs()[0])) == [names.POLICY_ANNOTATION]
    for job in jobs():
        text = yaml.safe_dump(job, width=10_000, sort_keys=False)
        named = [line for line in text.splitlines() if names.GROUP in line]
        assert len(named) == len(annotations_of(job)) >= 1, f"{job['metadata']['name']} names us elsewhere"
        spec = job["spec"]["jobTemplate"]["spec"] if job["kind"] == "CronJob" else job["spec"]
        assert set(spec) <= {"backoffLimit", "template"}


@pytest.mark.parametrize("job", jobs(), ids=lambda job: job["metadata"]["name"])
def test_the_annotations_of_examples_can_be_read(job: dict[str, Any]) -> None:
    """The access of an example is YAML in the form of spec.access."""
    text = annotations_of(job).get(names.ACCESS_ANNOTATION)
    assert text is None or set(read_access(text)) <= {"roles", "rules"}


def test_the_readme_lists_every_annotation_that_an_author_writes() -> None:
    """The table of annotations has each of them once, and no other."""
    listed = [cells[0].strip("`") for cells in rows(README, ASKING)]
    assert listed == [
        names.POLICY_ANNOTATION,
        names.TTL_ANNOTATION,
        names.REASON_ANNOTATION,
        names.ACCESS_ANNOTATION,
        names.SESSION_ANNOTATION,
    ]
