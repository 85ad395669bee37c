"""Rows 6 and 10: what needs a control plane of its own.

etcd and the API server stop, stand still and come back, with sessions under way and deadlines passing; the operator's
own rights are taken, and a namespace is deleted, in mid-grant.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.installation import install
from tests.faults.tables import Record, note_one
from tests.support import invariants
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Trigger
from tests.support.snapshot import Snapshot
from tests.support.traffic import Request
from tests.support.world import CEILING

#: How many sessions are active when the API server goes away, and for how long it does, in seconds.
ACTIVE = int(os.environ.get("TASKSESSION_FAULT_ACTIVE", "500"))
AWAY = float(os.environ.get("TASKSESSION_FAULT_AWAY", "90"))
#: The least time to live of those that expire meanwhile: all have to be granted before the first does. On a machine
#: that takes longer for that, they live longer, and the API server is away until the last has expired.
SOONEST = 70 if AWAY < 300 else 150


@pytest.fixture(scope="module")
def own_ground() -> Iterator[Ground]:
    """Return a control plane that may be stopped."""
    with Cluster(f"outages-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        cluster.restart("kube-controller-manager")
        ground = Ground(cluster)
        yield ground
        ground.close()


@pytest.fixture
def own_lane(own_ground: Ground, tmp_path: Path) -> Iterator[Lane]:
    """Return a lane on it, whose operator works."""
    lane = Lane(own_ground, tmp_path).start()
    lane.start_lag = timedelta(seconds=40)
    yield lane
    lane.close()


def _states(lane: Lane) -> dict[str, str]:
    return {item["metadata"]["name"]: item["status"]["state"] for item in lane.admin.list(lane.world.sessions)}


def _wait_states(lane: Lane, wanted: dict[str, str], *, timeout: float = 90) -> None:
    def probe() -> bool:
        found = _states(lane)
        return all(found.get(name) == state for name, state in wanted.items())

    lane.wait(probe, what=f"{len(wanted)} sessions to be in their states", timeout=timeout, interval=0.5)


def _outage(cluster: Cluster, kind: str, component: str) -> None:
    """Bring one outage about and end it; the cluster serves again when this returns."""
    if kind == "restart":
        cluster.restart(component)
        return
    cluster.pause(component)
    began = time.monotonic()
    try:
        wait_for(lambda: time.monotonic() - began > 12, timeout=20, what="the outage to have lasted")
    finally:
        cluster.resume(component)


_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_OPERATOR_ROLE = f"{_RBAC}/clusterroles/tasksession-operator"
_OPERATOR_BINDING = f"{_RBAC}/clusterrolebindings/tasksession-operator"


def _request_held_up(lane: Lane) -> None:
    """Request a session, and return while the creation of its ServiceAccount is held up."""
    held = Plan(Trigger(verb="create", resource="serviceaccounts"), Fault.DELAY, seconds=4)
    lane.proxy.arm(held)
    lane.world.request("mid")
    lane.wait(lambda: held in lane.proxy.fired, what="the grant to be under way")


def _plain(item: Object) -> Object:
    kept = {key: value for key, value in item["metadata"].items() if key in ("name", "labels", "annotations")}
    return {**item, "metadata": kept}


@pytest.mark.timeout(300)
def test_a_right_that_the_operator_lost_is_named_and_nothing_is_granted(
    own_lane: Lane, record_property: Record
) -> None:
    """Its ClusterRole loses ServiceAccounts in mid-grant: the session waits and says so, and goes on once it may."""
    lane, world = own_lane, own_lane.world
    role = lane.admin.get(_OPERATOR_ROLE)
    less = [rule for rule in role["rules"] if "serviceaccounts" not in rule["resources"]]
    assert less != role["rules"]
    _request_held_up(lane)
    lane.admin.patch(_OPERATOR_ROLE, {"rules": less})
    try:
        lane.wait(lambda: world.ready("mid")["reason"] == "APIError", what="the session to say why it waits")
        assert "The operator may not create the ServiceAccount" in world.ready("mid")["message"]
        assert not world.children("ServiceAccount")
        assert not world.children("RoleBinding")
    finally:
        lane.admin.patch(_OPERATOR_ROLE, {"rules": role["rules"]})
    _wait_states(lane, {"mid": "Active"})
    note_one(record_property, row="6", fault="ClusterRole loses ServiceAccounts in mid-grant")


@pytest.mark.timeout(300)
def test_an_operator_whose_binding_is_removed_grants_nothing_and_recovers(
    own_lane: Lane, record_property: Record
) -> None:
    """It may not even write a status then: rights end at their deadlines all the same, and nothing new is granted."""
    lane, world = own_lane, own_lane.world
    world.request("short", ttl="20s")
    identity = world.wait_state("short", "Active")["serviceAccountName"]
    _request_held_up(lane)
    binding = lane.admin.get(_OPERATOR_BINDING)
    lane.admin.delete(_OPERATOR_BINDING)
    try:
        lane.wait(lambda: not world.has_rights(identity), what="Kubernetes to end what is over", timeout=120)
        assert not world.children("RoleBinding")
        assert _states(lane)["mid"] == "Pending"
    finally:
        lane.admin.create(f"{_RBAC}/clusterrolebindings", _plain(binding))
    _wait_states(lane, {"mid": "Active", "short": "Expired"})
    lane.check()
    assert not lane.violations, lane.violations
    note_one(record_property, row="6", fault="the operator's ClusterRoleBinding is removed in mid-grant")


@pytest.mark.timeout(300)
def test_a_namespace_deleted_in_mid_grant_is_granted_nothing(own_lane: Lane, record_property: Record) -> None:
    """What may no longer be created is not: the namespace goes, and the operator stays."""
    lane, world = own_lane, own_lane.world
    _request_held_up(lane)
    path = f"/api/v1/namespaces/{lane.namespace}"
    lane.admin.delete(path)

    def gone() -> bool:
        return world.refusal_of(lambda: lane.admin.get(path)) is not None

    lane.wait(gone, what="the namespace to be gone", timeout=120)
    entries = lane.ground.audit.writes(lane.namespace)
    made = [each for each in entries if each.committed and each.verb == "create" and each.resource == "rolebindings"]
    assert not [each for each in made if each.name.startswith("ts-")], made
    assert lane.operator.alive
    assert not invariants.crashes(lane.operator.log.read_text())
    note_one(record_property, row="6", fault="namespace deleted in mid-grant")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("component", ["etcd", "kube-apiserver"])
@pytest.mark.parametrize("kind", ["restart", "SIGSTOP for 12 s"])
def test_sessions_outlive_an_outage(own_lane: Lane, component: str, kind: str, record_property: Record) -> None:
    """Sessions being granted, live, ending and expiring meanwhile all come to their ends, and none twice."""
    lane, world = own_lane, own_lane.world
    before = len(lane.ground.audit.writes(lane.namespace))
    for number in range(6):
        world.request(f"live-{number}", ttl="5m")
        world.request(f"short-{number}", ttl="15s")
    _wait_states(lane, {f"live-{number}": "Active" for number in range(6)})
    for number in range(3):
        world.finish_pod(f"live-{number}")
        world.request(f"late-{number}")
    _outage(lane.ground.cluster, kind.split()[0], component)
    ends = {
        **{f"live-{number}": "Completed" if number < 3 else "Active" for number in range(6)},
        **{f"short-{number}": "Expired" for number in range(6)},
        **{f"late-{number}": "Active" for number in range(3)},
    }
    _wait_states(lane, ends)
    entries = lane.ground.audit.writes(lane.namespace)[before:]
    assert invariants.identities_used_once(entries, len(ends)) == []
    lane.check()
    assert not lane.violations, lane.violations
    alive = sum(state == "Active" for state in ends.values())
    lane.wait(lambda: len(world.children("RoleBinding")) == alive, what="only the living to hold rights")
    lane.clear()
    note_one(record_property, row="10", fault=f"{component}: {kind}")


@pytest.mark.timeout(900 + AWAY)
def test_expired_sessions_end_first_when_the_api_server_returns(own_lane: Lane, record_property: Record) -> None:
    """Half of the live sessions expire while nobody answers: on its return they end before anything else, oldest
    deadline first, with a bounded number of requests at once."""
    lane, world = own_lane, own_lane.world
    half = ACTIVE // 2
    began = time.monotonic()
    for number in range(half):
        world.request(f"long-{number}", ttl="29m")
    _wait_states(lane, {f"long-{number}": "Active" for number in range(half)}, timeout=300)
    soonest = max(SOONEST, int(2 * (time.monotonic() - began)) + 10)
    spread = int(AWAY) + 10 - SOONEST
    began = time.monotonic()
    for number in range(half):
        # Deadlines spread over the outage, requested in another order than they end in.
        world.request(f"short-{number}", ttl=f"{soonest + (number * 7) % half * spread // half}s")
    _wait_states(lane, {f"short-{number}": "Active" for number in range(half)}, timeout=soonest + 10)
    sessions = lane.admin.list(world.sessions)
    deadlines = {item["status"]["serviceAccountName"]: _moment(item["status"]["deadline"]) for item in sessions}
    last = max(_moment(item["status"]["deadline"]) for item in sessions if item["metadata"]["name"].startswith("short"))
    assert time.monotonic() - began < soonest - 2, "the machine became too slow for these deadlines"
    cluster = lane.ground.cluster
    cluster.stop("kube-apiserver")
    gone = time.monotonic()
    away = max(AWAY, last + 2 - time.time())
    wait_for(lambda: time.monotonic() - gone > away, timeout=away + 10, what="the outage to have lasted", interval=1)
    lane.proxy.arm()
    cluster.start("kube-apiserver")
    returned = time.monotonic()
    _wait_states(lane, {f"short-{number}": "Expired" for number in range(half)}, timeout=120)
    drained = time.monotonic() - returned
    answered = [each for each in lane.proxy.writes if each.status in (200, 201, 404)]
    removed = [each for each in answered if each.verb == "delete" and each.resource == "rolebindings"]
    others = [each for each in answered if each not in removed]
    # A deletion whose answer came too late is repeated, and answered once more.
    firsts: dict[str, Request] = {}
    for each in removed:
        firsts.setdefault(each.name, each)
    removed = list(firsts.values())
    ended_by_operator = [deadlines[each.name.rsplit("-", 1)[0]] for each in removed]
    strays = _strays(ended_by_operator)
    # An API server that comes back refuses some requests for a moment: one session or the other goes a little later.
    # In an order that is none, sessions are a third of all places away from where they belong.
    assert statistics.mean(strays) < half / 10, f"the oldest did not go first: {strays}"
    nearly_all = removed[9 * half // 10].arrived
    early = [each for each in others if each.arrived < nearly_all]
    assert len(early) <= half // 2, f"these came before rights were gone: {[str(each) for each in early]}"
    assert not [each for each in others if each.verb == "create"], [str(each) for each in others]
    assert _states(lane).get("long-0") == "Active"
    assert not [name for name, state in _states(lane).items() if name.startswith("long") and state != "Active"]
    lane.wait(lambda: len(world.children("RoleBinding")) == half, what="only the living to hold rights")
    assert drained < 60, f"the backlog took {drained:.0f} s"
    assert _busiest_second(lane) < 400
    note_one(record_property, row="10", fault=f"API server away {AWAY:.0f} s, {ACTIVE} sessions, half expire")
    lane.check()
    assert not lane.violations
    assert invariants.no_tokens(Snapshot.take(lane.admin, lane.namespace).objects) == []


def _strays(moments: list[float]) -> list[int]:
    """For each moment, how many places it is away from where it would be if they were in order."""
    order = sorted(moments)
    first = {moment: order.index(moment) for moment in set(order)}
    last = {moment: first[moment] + order.count(moment) - 1 for moment in first}
    return [max(first[m] - place, place - last[m], 0) for place, m in enumerate(moments)]


def _moment(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()


def _busiest_second(lane: Lane) -> int:
    """Count the requests of the second that had the most."""
    counts: dict[int, int] = {}
    for each in list(lane.proxy.requests):
        counts[int(each.arrived)] = counts.get(int(each.arrived), 0) + 1
    return max(counts.values(), default=0)
