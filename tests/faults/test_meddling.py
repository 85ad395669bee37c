"""Row 14: an administrator deletes, edits or relabels what belongs to a session; it is refused, or the session ends."""

from __future__ import annotations

import pytest

from tests.cluster import ApiError
from tests.cluster.api import Object
from tests.faults.lives import LIVES, NAME, Life
from tests.faults.side_by_side import side_by_side
from tests.faults.tables import Record, note_one
from tests.support.lane import Lane

KINDS = ("RoleBinding", "ServiceAccount", "Job", "Role")


def _granted(lane: Lane, life: Life) -> str:
    lane.proxy.arm()
    life.begin(lane)
    lane.wait(lambda: lane.world.status(NAME)["state"] == "Active", what="the session to be granted")
    lane.world.pod_of(NAME)
    identity: str = lane.world.status(NAME)["serviceAccountName"]
    return identity


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_deleted_ends_the_session(lanes: list[Lane], kind: str, record_property: Record) -> None:
    """A RoleBinding, the identity, the timer or the Role is deleted: the session ends, nothing is left or remade."""

    def delete(lane: Lane, life: Life) -> None:
        identity = _granted(lane, life)
        name = f"{identity}-0" if kind == "RoleBinding" else identity
        lane.admin.delete(lane.world.path(kind, name))
        if kind == "Role":
            # Its RoleBinding gives nothing any more; the session lives on with the rest.
            life.finish(lane)
        lane.wait(lambda: not lane.world.all_children(), what="nothing to be left")
        states = (life.ends_as,) if kind == "Role" else ("Failed",)
        lane.wait(lambda: lane.world.status(NAME)["state"] in states, what=f"the session to be {states}")
        assert not [each for each in lane.proxy.writes if each.verb == "create" and each.status == 409]
        lane.clear()

    side_by_side(lanes, LIVES, delete)
    for life in LIVES:
        note_one(record_property, row="14", fault=f"admin deletes the {kind}", life=life.title)


@pytest.mark.timeout(300)
def test_what_is_edited_is_refused(lanes: list[Lane], record_property: Record) -> None:
    """Nobody, administrators included, widens a RoleBinding, moves a label or frees an object from its owner."""

    def edit(lane: Lane, life: Life) -> None:
        identity = _granted(lane, life)
        world = lane.world
        mallory = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}
        edits: list[tuple[str, str, Object]] = [
            ("RoleBinding", f"{identity}-0", {"subjects": [mallory]}),
            ("RoleBinding", f"{identity}-0", {"metadata": {"ownerReferences": None}}),
            ("RoleBinding", identity, {"metadata": {"labels": {"tasksession.dev/session-uid": "other"}}}),
            ("Role", identity, {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
            ("ServiceAccount", identity, {"metadata": {"ownerReferences": None}}),
            ("Job", identity, {"spec": {"activeDeadlineSeconds": 86400}}),
            ("Job", NAME, {"metadata": {"labels": {"tasksession.dev/managed": None}}}),
            ("Job", NAME, {"spec": {"activeDeadlineSeconds": 86400}}),
        ]
        for kind, name, body in edits:
            with pytest.raises(ApiError):
                lane.admin.patch(world.path(kind, name), body)
        lane.check()
        assert not lane.violations
        assert world.status(NAME)["state"] == "Active"
        lane.clear()

    side_by_side(lanes, LIVES, edit)
    for life in LIVES:
        note_one(record_property, row="14", fault="admin edits, 8 ways", life=life.title)


@pytest.mark.timeout(300)
def test_a_widened_right_is_taken(lanes: list[Lane], record_property: Record) -> None:
    """Where the guards were away for a moment and somebody joined a RoleBinding, the session ends, and both lose it."""
    identities = {}

    def begin(lane: Lane, life: Life) -> None:
        identities[life.title] = _granted(lane, life)

    side_by_side(lanes, LIVES, begin)
    mallory = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}
    with lanes[0].world.without_guards("reserved-names", "subjects"):
        for lane, life in zip(lanes, LIVES, strict=False):
            path = lane.world.path("RoleBinding", f"{identities[life.title]}-0")
            lane.admin.patch(path, {"subjects": [*lane.admin.get(path)["subjects"], mallory]})

    def taken(lane: Lane, life: Life) -> None:
        lane.wait(lambda: not lane.world.all_children(), what="the widened right to be taken")
        lane.wait(lambda: lane.world.status(NAME)["state"] == "Failed", what="the session to be over")
        assert "was changed by somebody" in lane.world.ready(NAME)["message"]

    side_by_side(lanes, LIVES, taken)
    for life in LIVES:
        note_one(record_property, row="14", fault="somebody widens a RoleBinding", life=life.title)
