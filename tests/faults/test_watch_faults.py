"""Rows 7, 8 and 9: views that are old, events that never come, streams that break or fall silent."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.faults.campaign import Reference, Result, run_all, verdict
from tests.faults.lives import ACCESS, LIVES, NAME, Life
from tests.faults.tables import Record, note
from tests.support import invariants
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Traffic, Trigger
from tests.support.snapshot import Snapshot
from tests.support.traffic import Request

_STREAM_FAULTS = (Fault.GONE, Fault.END, Fault.RESET, Fault.STALL, Fault.SWALLOW)
_RESOURCES = ("tasksessions", "jobs")
_BINDINGS = "validatingadmissionpolicybindings"


def stream_plans() -> Iterator[tuple[Life, Plan]]:
    """Yield each fault for a stream of sessions and one of Jobs in every life, at different events."""
    numbers = cycle((1, 2, 3, 4))
    for life in LIVES:
        for fault in _STREAM_FAULTS:
            for resource in _RESOURCES:
                # The Job of the first life is the only one whose events do not number four.
                number = next(numbers) if resource == "jobs" else 1 + next(numbers) % 2
                yield life, Plan(Trigger(Traffic.EVENT, number=number, resource=resource), fault)


@pytest.mark.timeout(900)
def test_a_stream_may_break_at_any_event(
    lanes: list[Lane], references: dict[str, Reference], record_property: Record
) -> None:
    """410, an end, a reset, silence, an event that is lost: the life comes to the same end."""
    results = run_all(lanes, stream_plans(), references)
    for fault in _STREAM_FAULTS:
        row = "8" if fault is Fault.SWALLOW else "9"
        note(record_property, [each for each in results if each.plan and each.plan.fault is fault], row=row)
    assert not verdict(results), verdict(results)


def _granted(lane: Lane) -> str:
    """Wait until the session is granted; returns its uid."""
    lane.wait(lambda: lane.world.status(NAME)["state"] == "Active", what="the session to be granted")
    uid: str = lane.world.session(NAME)["metadata"]["uid"]
    return uid


def _recreate(lane: Lane, life: Life) -> None:
    """Delete the session, with its Job, and ask for another of its name."""
    lane.clear()
    life.begin(lane)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.title)
def test_an_older_view_harms_no_newer_session(lanes: list[Lane], life: Life, record_property: Record) -> None:
    """An operator that starts with lists from before: the session that has the name now keeps its rights."""
    lane = lanes[0]
    lane.proxy.arm()
    life.begin(lane)
    first = _granted(lane)
    lane.wait(lambda: lane.proxy.has_answered("tasksessions", first), what="a sweep to have listed the first")
    lane.proxy.remember()
    _recreate(lane, life)
    second = _granted(lane)
    assert first != second
    bindings = [item["metadata"]["uid"] for item in Snapshot.take(lane.admin, lane.namespace).of("RoleBinding")]
    plan = Plan(Trigger(Traffic.READ, times=60), Fault.STALE)
    lane.proxy.arm(plan)
    lane.operator.signal(signal.SIGKILL)
    lane.wait(lambda: len(lane.proxy.fired) >= 40, what="the operator to have read the older view", timeout=40)
    seen = Snapshot.take(lane.admin, lane.namespace)
    assert {item["metadata"]["uid"] for item in seen.of("RoleBinding")} >= set(bindings)
    (session,) = seen.of("TaskSession")
    assert (session["metadata"]["uid"], session["status"]["state"]) == (second, "Active")
    lane.check()
    assert not lane.violations
    lane.proxy.arm()
    lane.wait(lambda: lane.world.status(NAME)["state"] in ("Active", life.ends_as), what="the session to live on")
    note(record_property, [Result(life, plan)], row="7", fault="started with lists of the past")
    lane.clear()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.title)
def test_a_list_without_the_session_ends_nothing(lanes: list[Lane], life: Life, record_property: Record) -> None:
    """Sweeps that list no session, because they list the past, while its rights are listed as they are."""
    lane = lanes[1]
    lane.proxy.arm()
    lane.proxy.remember()
    life.begin(lane)
    uid = _granted(lane)
    plan = Plan(Trigger(Traffic.READ, verb="list", resource="tasksessions", times=3), Fault.STALE)
    lane.proxy.arm(plan)
    lane.wait(lambda: len(lane.proxy.fired) >= 3, what="three sweeps", timeout=40)
    lane.check()
    assert not lane.violations
    session = lane.world.session(NAME)
    assert (session["metadata"]["uid"], session["status"]["state"]) == (uid, "Active")
    assert not [each for each in lane.proxy.writes if each.verb == "delete"]
    note(record_property, [Result(life, plan)], row="7", fault="sweeps that list the past")
    lane.proxy.arm()
    lane.clear()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.title)
def test_a_job_that_ends_and_goes_unseen_is_found(lanes: list[Lane], life: Life, record_property: Record) -> None:
    """No event tells that the Job completed, nor that it was deleted: the sweep ends the session."""
    lane = lanes[2]
    lane.proxy.arm()
    life.begin(lane)
    _granted(lane)
    lane.world.pod_of(NAME)
    plan = Plan(Trigger(Traffic.EVENT, resource="jobs", name=NAME, times=1000), Fault.SWALLOW)
    gone = Plan(Trigger(Traffic.EVENT, resource="tasksessions", name=NAME, times=1000), Fault.SWALLOW)
    lane.proxy.arm(plan, gone)
    lane.world.finish_pod(NAME)
    lane.admin.delete(lane.world.path("Job", NAME))
    lane.wait(lambda: not lane.world.all_children(), what="the sweep to end it", timeout=30)
    found = lane.admin.find(f"{lane.world.sessions}/{NAME}")
    lane.wait(
        lambda: found is None or lane.world.status(NAME)["state"] in ("Failed", "Completed"),
        what="the status to say so",
    )
    note(record_property, [Result(life, plan)], row="8", fault="Job ended and deleted, untold")
    lane.proxy.arm()
    lane.clear()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.title)
def test_a_session_replaced_unseen_is_found(lanes: list[Lane], life: Life, record_property: Record) -> None:
    """Neither the deletion nor the namesake is told: the old rights go, the new session gets its own."""
    lane = lanes[3]
    lane.proxy.arm()
    life.begin(lane)
    first = _granted(lane)
    plan = Plan(Trigger(Traffic.EVENT, resource="tasksessions", times=1000), Fault.SWALLOW)
    jobs = Plan(Trigger(Traffic.EVENT, resource="jobs", times=1000), Fault.SWALLOW)
    lane.proxy.arm(plan, jobs)
    _recreate(lane, life)
    second = _granted(lane)
    assert first != second
    seen = Snapshot.take(lane.admin, lane.namespace)
    owners = {item["metadata"]["labels"]["tasksession.dev/session-uid"] for item in seen.of_sessions("RoleBinding")}
    assert owners == {second}
    lane.check()
    assert not lane.violations
    note(record_property, [Result(life, plan)], row="8", fault="session replaced, untold")
    lane.proxy.arm()
    lane.clear()


@pytest.mark.timeout(300)
def test_streams_that_fall_silent_are_opened_again_soon(lanes: list[Lane], record_property: Record) -> None:
    """All streams stall for good, and the sweep is not what helps: within half a minute the watch tells again."""
    lane = lanes[4]
    lane.proxy.arm(Plan(Trigger(Traffic.EVENT, times=1000), Fault.STALL))
    before = len(lane.proxy.requests)
    started = time.monotonic()
    lane.wait(
        lambda: {each.resource for each in lane.proxy.requests[before:] if each.verb == "watch"} >= set(_RESOURCES),
        what="the streams to be opened again",
        timeout=30,
    )
    assert time.monotonic() - started < 30
    note(
        record_property,
        [Result(LIVES[0], Plan(Trigger(Traffic.EVENT), Fault.STALL))],
        row="9",
        fault="all streams stall",
    )
    lane.proxy.arm()


@pytest.mark.timeout(300)
def test_a_job_deleted_unseen_in_mid_grant_has_one_identity(
    ground: Ground, tmp_path: Path, record_property: Record
) -> None:
    """What was made goes with the Job; attempts that are repeated do not make it again for a Job that is gone."""
    untold = Plan(Trigger(Traffic.EVENT, resource="jobs", times=1000), Fault.SWALLOW)
    binding = Trigger(verb="create", resource="rolebindings", times=1000)
    refused = Plan(binding, Fault.ANSWER, status=429, reason="TooManyRequests")
    # No sweep comes in between: it would find the Job gone.
    lane = Lane(ground, tmp_path, arguments=("--sweep-interval", "300")).start()
    try:
        lane.proxy.arm(untold, refused)
        lane.world.request(NAME, access=ACCESS)
        lane.wait(lambda: len(lane.world.children("ServiceAccount")) == 1, what="the identity to be made")
        lane.admin.delete(lane.world.path("Job", NAME))
        lane.wait(lambda: not lane.world.all_children(), what="garbage collection to have taken it")
        attempts = len(lane.proxy.fired)
        lane.wait(
            lambda: lane.proxy.fired[attempts:].count(refused) > 1 or lane.world.status(NAME)["state"] == "Failed",
            what="more attempts, or an end",
        )
        lane.proxy.arm(untold)
        # Where the attempt itself met the loss of what it had made, a new Job is made, and has an identity of its own.
        lane.wait(lambda: lane.world.status(NAME)["state"] in ("Failed", "Active"), what="the session to come to rest")
        assert invariants.identities_used_once(ground.audit.writes(lane.namespace), 2) == []
    finally:
        lane.close()
    note(record_property, [Result(LIVES[0], untold)], row="8", fault="Job deleted in mid-grant, untold")


def _looked(lane: Lane) -> bool:
    """Whether the operator has looked at the guards by itself, and does not do so any more."""
    looks = [
        each for each in list(lane.proxy.requests) if each.resource == _BINDINGS and not each.agent.startswith("kopf")
    ]
    return len(looks) >= 2 and time.monotonic() - looks[-1].arrived > 3


@pytest.mark.timeout(300)
def test_a_guard_deleted_before_the_watch_has_listed_is_missed(
    ground: Ground, tmp_path: Path, record_property: Record
) -> None:
    """Deleted after the operator's own look, before the watch's listing: no event tells of it, nor a sweep soon."""
    # kopf itself gives a listing up after 15 seconds, and asks anew.
    delay = Plan(Trigger(Traffic.READ, verb="list", resource=_BINDINGS), Fault.DELAY, seconds=13.5)

    def late_listing(about: Request) -> Plan | None:
        watch_lists = about.verb == "list" and about.agent.startswith("kopf")
        return delay if watch_lists and about.resource == _BINDINGS else None

    lane = Lane(ground, tmp_path, arguments=("--sweep-interval", "300"))
    try:
        lane.proxy.chaos = late_listing
        lane.operator.start(wait=False)
        lane.wait(lambda: lane.proxy.fired, what="the watch to ask for the guards")
        began = time.monotonic()
        lane.wait(lambda: lane.operator.probe("/readyz")[0] == 200, what="the operator to have seen all guards")
        lane.wait(lambda: _looked(lane), what="the looks at the start to be over")
        with lane.world.without_guards("subjects", "reserved-names"):
            assert time.monotonic() - began < delay.seconds - 1, "the listing was not late enough"
            assert lane.operator.probe("/readyz")[0] == 200, "an event told of it"
            lane.wait(
                lambda: "subjects" in lane.operator.probe("/readyz")[1], what="the guard to be missed", timeout=40
            )
    finally:
        lane.close()
    note(record_property, [Result(LIVES[0], delay)], row="8", fault="guard deleted before the first listing")
