"""Rows 1, 2 and 3 of the faults: every write of a life is the moment of a crash, and of a reply that is lost.

Called by a test for each life, in a file of its own, so that lives can be tried side by side.
"""

from __future__ import annotations

from tests.faults.campaign import References, run_all, verdict
from tests.faults.lives import Life
from tests.faults.tables import Record, note
from tests.support.lane import Lane
from tests.support.plans import Fault, Plan, Trigger

_ROWS = {Fault.KILL_BEFORE: "1", Fault.KILL_AFTER: "2", Fault.LOSE_REPLY: "3"}


def every_write_may_be_the_last(lanes: list[Lane], life: Life, references: References, record: Record) -> None:
    """Kill the operator before or after each write, or lose the reply: the end state is the same, and no object is
    made or deleted that the life without faults would not have made or deleted."""
    found = references.of(life)
    writes = found[life.title].writes
    plans = [(life, Plan(Trigger(number=number), fault)) for number in range(1, len(writes) + 1) for fault in _ROWS]
    results = run_all(lanes, plans, found)
    for fault, row in _ROWS.items():
        note(record, [each for each in results if each.plan and each.plan.fault is fault], row=row, points=True)
    assert not verdict(results), verdict(results)
    assert len(results) == 3 * len(writes)
