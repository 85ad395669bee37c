"""One chain of attacks by a holder of `edit` alone: blind the operator by depth, and hold the rights by an anchor.

Everything is healthy when it begins. The operator goes on working, for others as well, and the rights end at the
deadline at the latest, with the operator and without it.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.rights import wait_until_holds
from tests.cluster.waiting import wait_for
from tests.support.world import World

_DEPTH = 2000
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EDITS: list[Mapping[str, list[str]]] = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
#: A deadline that leaves time to attack.
_TTL = "20s"
#: The timer rounds up to whole seconds, and garbage collection takes its moment.
_LATE_SECONDS = 5


@pytest.fixture(autouse=True)
def _deep_objects_can_be_sent() -> Iterator[None]:
    """Let the test's own parser go as deep as what the attacker sends."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * _DEPTH)
    yield
    sys.setrecursionlimit(before)


class Bob:
    """A holder of the built-in role `edit` in a world's namespace, who may use no policy."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.bind("bob-edits", role="edit", user="bob")
        self.api: Api = world.admin.as_user("bob", groups=["system:authenticated"])
        wait_until_holds(self.api, world.namespace, _EDITS)

    def uids_of(self, session: str, identity: str) -> set[str]:
        """Collect every uid that he may read of a session: in its objects, its status, its pods and its Events."""
        world, found = self._world, set()
        paths = (
            f"{world.sessions}/{session}",
            world.path("Job", session),
            world.path("Job", identity),
            world.path("ServiceAccount", identity),
            world.path("Role", identity),
            world.path("RoleBinding", f"{identity}-0"),
            world.path("Pod"),
            world.path("Event"),
        )
        for path in paths:
            try:
                found.update(_UID.findall(json.dumps(self.api.get(path))))
            except ApiError as error:
                assert error.status == 403, error
        return found

    def anchor(self, uid: str) -> None:
        """Make an object that foreground deletion of another has to wait for, whatever that other is."""
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "whatever", "uid": uid, "blockOwnerDeletion": True}
        metadata = {"generateName": "anchor-", "finalizers": ["example.com/hold"], "ownerReferences": [owner]}
        self.api.create(f"/api/v1/namespaces/{self._world.namespace}/configmaps", {"metadata": metadata})

    def let_go(self) -> None:
        """Take the finalizers off again, so that the namespace can be deleted."""
        world = self._world
        for item in world.admin.list(f"/api/v1/namespaces/{world.namespace}/configmaps"):
            if item["metadata"]["name"].startswith("anchor-"):
                path = f"/api/v1/namespaces/{world.namespace}/configmaps/{item['metadata']['name']}"
                world.admin.patch(path, {"metadata": {"finalizers": None}})

    def blind(self, session: str) -> None:
        """Give a TaskSession, and a Job of his own, metadata nested deeper than parsers go."""
        world = self._world
        self.api.patch(f"{world.sessions}/{session}", {"metadata": {"managedFields": _deep()}})
        metadata = {
            "name": "deep",
            "annotations": {"tasksession.dev/session": "nosuch"},
            "managedFields": _deep(api_version="batch/v1"),
        }
        self.api.create(world.path("Job"), {"metadata": metadata, "spec": world.job_spec()})


def _deep(api_version: str = "tasksession.dev/v1alpha1") -> list[Object]:
    fields: Object = json.loads('{"f:a":' * _DEPTH + "{}" + "}" * _DEPTH)
    return [
        {
            "manager": "deep",
            "operation": "Update",
            "apiVersion": api_version,
            "time": "2026-11-28T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": fields}},
        }
    ]


@pytest.mark.parametrize("operator_dies", [False, True], ids=["alive", "killed"])
def test_an_editor_neither_stops_the_operator_nor_keeps_the_rights(
    world: World, tmp_path: Path, operator_dies: bool
) -> None:
    """Anchors on all uids that he can read, then metadata of a depth that no parser takes: the rights end in time."""
    bob = Bob(world)
    process = world.operator(tmp_path)
    try:
        with process:
            world.request("triage", ttl=_TTL)
            status = world.wait_state("triage", "Active")
            identity = str(status["serviceAccountName"])
            world.pod_of("triage")
            binding = world.admin.get(world.path("RoleBinding", f"{identity}-0"))["metadata"]["uid"]
            uids = bob.uids_of("triage", identity)
            for uid in uids:
                bob.anchor(uid)
            assert binding not in uids, "the uid of the RoleBinding is where a holder of `edit` reads it"
            if operator_dies:
                process.kill()
            bob.blind("triage")
            deadline = int(identity.rpartition("-")[2])
            if not operator_dies:
                world.request("other")
                world.wait_state("other", "Active")
            world.wait_refused(identity, timeout=deadline + _LATE_SECONDS - time.time())
            if not operator_dies:
                assert process.alive, process.tail()
                for path in ("/livez", "/readyz"):
                    assert process.probe(path)[0] == 200
                wait_for(
                    lambda: world.status("triage")["state"] not in ("Pending", "Active"),
                    timeout=20,
                    what="the session to say that it is over",
                )
        if operator_dies:
            with process:
                world.request("after")
                world.wait_state("after", "Active")
    finally:
        bob.let_go()
    assert "Traceback" not in process.log.read_text(), process.tail(60)
