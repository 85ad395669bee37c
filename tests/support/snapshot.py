"""A namespace as it is: everything of a session in it, and the same with what differs from run to run taken out.

Called by lives and by the checks of invariants. It reads as the administrator.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.cluster.api import Api, Object

_COLLECTIONS = {
    "TaskSession": "/apis/tasksession.dev/v1alpha1/namespaces/{}/tasksessions",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_DEADLINE = re.compile(r"(ts-<uid>-)\d{10}")
_POD = re.compile(r"(tasksession-[a-z0-9.-]+-)[a-z0-9]{5}\b")
_DROPPED = ("resourceVersion", "managedFields", "generateName")


@dataclass(frozen=True)
class Snapshot:
    """Objects by kind, as the API server listed them."""

    objects: dict[str, list[Object]]

    @classmethod
    def take(cls, api: Api, namespace: str, *, kinds: tuple[str, ...] = tuple(_COLLECTIONS)) -> Snapshot:
        """List a namespace. The kinds are listed one after the other: RoleBindings last, so that none can be younger
        than what it is judged by."""
        listed = {kind: api.list(_COLLECTIONS[kind].format(namespace)) for kind in kinds}
        return cls({kind: [{**item, "kind": kind} for item in items] for kind, items in listed.items()})

    def of(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return self.objects.get(kind, [])

    def of_sessions(self, kind: str) -> list[Object]:
        """Return the objects of a kind that carry a session's name; a Job is a timer here."""
        return [item for item in self.of(kind) if item["metadata"]["name"].startswith("ts-")]

    @property
    def left(self) -> dict[str, list[str]]:
        """Name what is left of sessions that are over: identities, rights and timers."""
        kinds = ("Job", "ServiceAccount", "Role", "RoleBinding", "Secret")
        found = {kind: [item["metadata"]["name"] for item in self.of_sessions(kind)] for kind in kinds}
        return {kind: names for kind, names in found.items() if names}

    def normalised(self) -> dict[str, Any]:
        """Return what has to be the same in every run: without uids, times, versions and random suffixes."""
        wanted = [
            *self.of("TaskSession"),
            *self.of("Job"),
            *self.of("Pod"),
            *(item for kind in ("ServiceAccount", "Role", "RoleBinding", "Secret") for item in self.of_sessions(kind)),
        ]
        text = json.dumps([_without_dropped(item) for item in wanted])
        text = _TIME.sub("<time>", _UUID.sub("<uid>", text))
        text = _POD.sub(r"\1<suffix>", _DEADLINE.sub(r"\1<deadline>", text))
        kept: dict[str, Any] = {}
        for item in json.loads(text):
            kept[f"{item.get('kind', '')} {item['metadata']['name']}"] = item
        return kept


def _without_dropped(item: Object) -> Object:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _DROPPED}
    if item.get("kind") == "Job":
        # A release that is repeated, because its reply was lost, says how many seconds are left by then.
        metadata.pop("generation")
    kept = {**item, "metadata": metadata}
    if (item.get("spec") or {}).get("activeDeadlineSeconds", 1) > 1:
        # The seconds left when the Job was released; 1 is what stops it. `deadlines_kept` looks at these.
        kept["spec"] = {**item["spec"], "activeDeadlineSeconds": "<left>"}
    return kept


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Say where two normalised values differ, one line each."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted({*expected, *found})
        return [
            line
            for key in keys
            for line in differences(expected.get(key, "absent"), found.get(key, "absent"), f"{path}/{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for index, (one, other) in pairs for line in differences(one, other, f"{path}/{index}")]
    return [] if expected == found else [f"{path}: {_short(expected)} expected, {_short(found)} found"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."
