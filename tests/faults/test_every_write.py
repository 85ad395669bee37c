"""Rows 1, 2 and 3 of the faults: every write of every life is the moment of a crash, and of a reply that is lost."""

from __future__ import annotations

import pytest

from tests.faults.campaign import Reference, run_all, verdict
from tests.faults.lives import LIVES
from tests.faults.tables import Record, note
from tests.support.lane import Lane
from tests.support.plans import Fault, Plan, Trigger

_ROWS = {Fault.KILL_BEFORE: "1", Fault.KILL_AFTER: "2", Fault.LOSE_REPLY: "3"}


@pytest.mark.timeout(1500)
def test_every_write_of_every_life_may_be_the_last(
    lanes: list[Lane], references: dict[str, Reference], record_property: Record
) -> None:
    """Killed before or after any write, or told nothing of it, the operator comes to the same end state, with no
    object made or deleted that the life without faults would not have made or deleted."""
    plans = [
        (life, Plan(Trigger(number=number), fault))
        for number in range(1, max(len(reference.writes) for reference in references.values()) + 1)
        for life in LIVES
        for fault in _ROWS
        if number <= len(references[life.title].writes)
    ]
    results = run_all(lanes, plans, references)
    for fault, row in _ROWS.items():
        note(
            record_property, [each for each in results if each.plan and each.plan.fault is fault], row=row, points=True
        )
    assert not verdict(results), verdict(results)
    assert len(results) == 3 * sum(len(reference.writes) for reference in references.values())
