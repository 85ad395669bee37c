"""The ceiling as the operator reads it: where it is missing, or may not be read, nothing is granted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import wait_for
from tests.support.world import World

_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
_CEILING = f"{_ROLES}/tasksession-operator-ceiling"
_OPERATOR = f"{_ROLES}/tasksession-operator"


@contextmanager
def without_the_ceiling(world: World) -> Iterator[None]:
    """Take the ceiling's ClusterRole away for a while."""
    kept = world.admin.get(_CEILING)
    world.admin.delete(_CEILING)
    try:
        yield
    finally:
        metadata = {key: kept["metadata"][key] for key in ("name", "labels")}
        world.admin.create(_ROLES, {**kept, "metadata": metadata})


@contextmanager
def unreadable(world: World) -> Iterator[None]:
    """Take the operator's right to read ClusterRoles away for a while."""
    rules = world.admin.get(_OPERATOR)["rules"]
    world.admin.patch(_OPERATOR, {"rules": [each for each in rules if "clusterroles" not in each["resources"]]})
    try:
        yield
    finally:
        world.admin.patch(_OPERATOR, {"rules": rules})


def test_without_a_ceiling_nothing_is_granted(world: World, tmp_path: Path) -> None:
    """No ceiling is the ceiling under which nothing may be had, and the requester is told what to have mended."""
    access = {"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": [_TRIAGE]}
    with without_the_ceiling(world), world.operator(tmp_path):
        world.request("triage", access=access)
        message = world.wait_reason("triage", "Denied")
        assert "ClusterRole view: beyond the operator's ceiling" in message
        assert "ceiling does not have get on configmaps" in message
        assert world.all_children() == {}


def test_a_ceiling_that_may_not_be_read_is_waited_for(world: World, tmp_path: Path) -> None:
    """It grants nothing and ends nothing: the session waits with the API server's words, and goes on afterwards."""
    access = {"rules": [_TRIAGE]}
    with world.operator(tmp_path):
        with unreadable(world):
            world.request("triage", access=access)
            assert "cannot get resource" in world.wait_reason("triage", "APIError")
            assert world.all_children() == {}
        wait_for(lambda: world.status("triage")["state"] == "Active", timeout=30, what="the session to be granted")


_TRIAGE = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get"]}
