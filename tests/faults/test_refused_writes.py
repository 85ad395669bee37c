"""Rows 4, 5, 6 and 16: writes that are refused, held up or cut off, and an operator told to stop in mid-grant."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.faults.campaign import Reference, Result, run_all, verdict
from tests.faults.lives import COMPLETING, LIVES, NAME, Life
from tests.faults.tables import Record, note
from tests.support import invariants
from tests.support.lane import Lane
from tests.support.plans import Fault, Plan, Traffic, Trigger
from tests.support.snapshot import Snapshot

#: Faults for writes by row. Each write of each life meets one of them, each of them every life.
_WRITE_FAULTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("4", {"fault": Fault.ANSWER, "status": 409, "reason": "Conflict"}),
    ("5", {"fault": Fault.ANSWER, "status": 429, "reason": "TooManyRequests", "retry_after": 1}),
    ("5", {"fault": Fault.ANSWER, "status": 500, "reason": "InternalError"}),
    ("5", {"fault": Fault.ANSWER, "status": 503, "reason": "ServiceUnavailable"}),
    ("5", {"fault": Fault.ANSWER, "status": 504, "reason": "Timeout"}),
    ("5", {"fault": Fault.HANG}),
    ("5", {"fault": Fault.RESET}),
    ("6", {"fault": Fault.ANSWER, "status": 403, "reason": "Forbidden"}),
    ("16", {"fault": Fault.TERMINATE}),
)
_ROWS = {Plan(Trigger(), **fields).title: row for row, fields in _WRITE_FAULTS}  # type: ignore[arg-type]


def plans(references: dict[str, Reference]) -> Iterator[tuple[Life, Plan]]:
    """Yield a plan for every write of every life, and twice as many for those that take rights away."""
    for offset, life in enumerate(LIVES):
        faults = cycle(_WRITE_FAULTS[offset * 3 :] + _WRITE_FAULTS[: offset * 3])
        for number, write in enumerate(references[life.title].writes, start=1):
            for _ in range(2 if write.startswith("delete") else 1):
                yield life, Plan(Trigger(number=number), **next(faults)[1])  # type: ignore[arg-type]
        # What is asked before a grant: without an answer there is none, and the answer is asked for again.
        for resource, traffic in (("subjectaccessreviews", Traffic.ASIDE), ("clusterroles", Traffic.READ)):
            trigger = Trigger(traffic, resource=resource, times=2)
            yield life, Plan(trigger, Fault.ANSWER, status=503, reason="ServiceUnavailable")
            yield life, Plan(Trigger(traffic, resource=resource), Fault.RESET)


@pytest.mark.timeout(900)
def test_every_write_may_be_refused_once(
    lanes: list[Lane], references: dict[str, Reference], record_property: Record
) -> None:
    """Whatever the API server or the line answers to a write or a question, the life comes to the same end."""
    results = run_all(lanes, plans(references), references)
    for row in sorted(set(_ROWS.values())):
        note(record_property, [each for each in results if each.plan and _ROWS[each.plan.title] == row], row=row)
    assert not verdict(results), verdict(results)


def judge_invalid(lane: Lane, life: Life, plan: Plan, reference: Reference) -> Result:
    """Run a session whose write is called invalid: it has to be denied, with nothing left and no second try."""
    result = Result(life, plan)
    lane.violations = []
    lane.proxy.arm(plan)
    life.begin(lane)
    try:
        lane.wait(lambda: lane.world.status(NAME)["state"] == "Denied", what="the session to be denied", timeout=30)
        lane.wait(lambda: not lane.world.all_children(), what="nothing to be left")
        lane.wait_quiet()
    except (TimeoutError, AssertionError) as error:
        result.complaints.append(f"{type(error).__name__}: {error}")
        result.notes += [f"write {request}" for request in lane.proxy.writes]
    lane.check()
    result.complaints += lane.violations
    result.complaints += invariants.nothing_left(Snapshot.take(lane.admin, lane.namespace))
    return result


@pytest.mark.timeout(300)
def test_an_object_that_is_called_invalid_ends_the_session(
    lanes: list[Lane], references: dict[str, Reference], record_property: Record
) -> None:
    """422 for any object of the grant is final: Denied, and what was made before it is taken away."""
    creations = [number for number, write in enumerate(references[COMPLETING.title].writes, start=1)
                 if write.startswith("create")]  # fmt: skip
    wanted = [
        (COMPLETING, Plan(Trigger(number=number), Fault.ANSWER, status=422, reason="Invalid")) for number in creations
    ]
    results = run_all(lanes, wanted, references, judge_invalid)
    note(record_property, results, row="4")
    assert not verdict(results), verdict(results)


@pytest.mark.timeout(300)
def test_a_second_writer_in_between_is_noticed(lanes: list[Lane], record_property: Record) -> None:
    """A TaskSession that somebody labels while its status is under way: the write meets a conflict and is made anew."""
    lane = lanes[0]
    for life in LIVES:
        delays = [
            Plan(Trigger(verb="patch", resource="tasksessions/status", number=number), Fault.DELAY, seconds=1.5)
            for number in (1, 2)
        ]
        lane.proxy.arm(*delays)
        life.begin(lane)
        for number in (1, 2):
            lane.wait(lambda number=number: len(lane.proxy.fired) >= number, what="the delay to begin")  # type: ignore[misc]
            lane.admin.patch(f"{lane.world.sessions}/{NAME}", {"metadata": {"labels": {"second": str(number)}}})
            if number == 1:
                lane.wait(lambda: lane.world.status(NAME)["state"] == "Active", what="the session to be granted")
                lane.world.pod_of(NAME)
                life.finish(lane)
        lane.wait(lambda: lane.world.status(NAME)["state"] == life.ends_as, what=f"{NAME} to be {life.ends_as}")  # noqa: B023
        conflicts = [each for each in lane.proxy.writes if each.status == 409]
        assert len(conflicts) >= 2, [str(each) for each in lane.proxy.writes]
        lane.wait(lambda: not lane.world.all_children(), what="nothing to be left")
        note(record_property, [Result(life, delays[0])], row="4", fault="second writer, real 409")
        lane.clear()


@pytest.mark.timeout(300)
def test_without_its_rights_the_operator_says_so_and_grants_nothing(lanes: list[Lane], record_property: Record) -> None:
    """While every write of children is forbidden, the session waits with the reason, and goes on once it may."""
    lane = lanes[0]
    plan = Plan(Trigger(resource="serviceaccounts", times=1000), Fault.ANSWER, status=403, reason="Forbidden")
    for life in LIVES:
        lane.proxy.arm(plan)
        life.begin(lane)
        lane.wait(lambda: lane.world.ready(NAME)["reason"] == "APIError", what="the condition to say why")
        assert "may not create the ServiceAccount" in lane.world.ready(NAME)["message"]
        assert not lane.world.children("RoleBinding")
        assert not lane.world.children("ServiceAccount")
        lane.proxy.arm()
        lane.wait(lambda: lane.world.status(NAME)["state"] == "Active", what="the session to be granted")
        note(record_property, [Result(life, plan)], row="6", fault="403 for as long as it lasts")
        lane.clear()
