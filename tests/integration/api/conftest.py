"""The custom resources on the test cluster: as published, and a copy of them in a group of the tests' own.

The copy keeps these tests to the schema alone: admission policies that another test has installed for the product's
group stamp, and would hide what the schema does by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api import Api, ApiError
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import wait_for

_CRDS = Path(__file__).parents[3] / "crds"
_GROUP = "tasksession.dev"
# It sorts behind the product's group, so that kubectl takes `tasksessions` for the product's meanwhile.
_COPY = "unguarded.tasksession.example"
_PLURALS = {
    "TaskSession": "tasksessions",
    "SessionPolicy": "sessionpolicies",
    "SessionApproval": "sessionapprovals",
}


def established(admin: Api, group: str) -> list[dict[str, Any]]:
    """Apply the published definitions under a group; return them once each is established."""
    text = "\n---\n".join(file.read_text() for file in sorted(_CRDS.glob("*.yaml")))
    definitions = [each for each in yaml.safe_load_all(text.replace(_GROUP, group)) if each]
    admin.apply(definitions)

    def ready() -> list[dict[str, Any]] | None:
        found = [
            admin.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{each['metadata']['name']}")
            for each in definitions
        ]
        return found if all("Established" in _true_conditions(each) for each in found) else None

    return wait_for(ready, timeout=30, what=f"the definitions of {group} to be established") or []


def _true_conditions(definition: dict[str, Any]) -> set[str]:
    conditions = definition.get("status", {}).get("conditions") or []
    return {condition["type"] for condition in conditions if condition["status"] == "True"}


@dataclass(frozen=True)
class Resources:
    """The three kinds in one group and namespace: create, read and change objects by kind and name."""

    admin: Api
    group: str
    namespace: str

    def collection(self, kind: str) -> str:
        """Return the path of a kind's collection."""
        inside = "" if kind == "SessionPolicy" else f"namespaces/{self.namespace}/"
        return f"/apis/{self.group}/v1alpha1/{inside}{_PLURALS[kind]}"

    def create(self, manifest: dict[str, Any], **query: object) -> dict[str, Any]:
        """Create an object; ApiError where the API server refuses it."""
        body = {"apiVersion": f"{self.group}/v1alpha1", **manifest}
        return self.admin.create(self.collection(manifest["kind"]), body, **query)

    def replace(self, manifest: dict[str, Any], **query: object) -> dict[str, Any]:
        """Replace an object by one with the same kind and name."""
        return self.admin.replace(
            f"{self.collection(manifest['kind'])}/{manifest['metadata']['name']}", manifest, **query
        )

    def path(self, manifest: dict[str, Any]) -> str:
        """Return the path of one object."""
        return f"{self.collection(manifest['kind'])}/{manifest['metadata']['name']}"


@pytest.fixture(scope="package")
def definitions(cluster: Cluster) -> Iterator[list[dict[str, Any]]]:
    """The copy of the published definitions, established and served; gone when these tests are over."""
    found = established(cluster.api, _COPY)
    for plural in _PLURALS.values():
        wait_for(
            partial(cluster.api.find, f"/apis/{_COPY}/v1alpha1/{plural}"),
            timeout=30,
            what=f"{plural} to be served",
            ignoring=(ApiError,),
        )
    yield found
    for each in found:
        cluster.api.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{each['metadata']['name']}")


@pytest.fixture(scope="package")
def resources(cluster: Cluster, definitions: list[dict[str, Any]]) -> Resources:
    """The three kinds, in the namespace `default`: for what is asked as a dry run, or named apart."""
    return Resources(admin=cluster.api, group=_COPY, namespace="default")
