"""docs/reasons.md has every state and every reason, and none that does not exist."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasksession.api.conditions import Reason, State
from tasksession.lifecycle import status
from tests.support.pages import ROOT, rows
from tests.unit import make

PAGE = ROOT / "docs" / "reasons.md"
WAITING = "Reasons of a session that waits"
ACTIVE = "Reason of a session that is active"
ENDED = "Reasons of a session that has ended"
DENIED = "Reasons of a session that was denied"


def listed(heading: str) -> list[str]:
    """Return the words in the first column of the table under a heading."""
    return [cells[0].strip("`") for cells in rows(PAGE, heading)]


def test_every_state_is_listed_once() -> None:
    """The table of states has exactly the states of the API."""
    assert listed("States") == [state.value for state in State]


def test_every_reason_is_listed_once() -> None:
    """The tables of reasons together have exactly the reasons of the API, each once."""
    found = [reason for heading in (WAITING, ACTIVE, ENDED, DENIED) for reason in listed(heading)]
    assert sorted(found) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("heading", [WAITING, ACTIVE, ENDED, DENIED])
def test_every_reason_says_what_it_means_and_what_to_do(heading: str) -> None:
    """No cell of a table is empty."""
    for cells in rows(PAGE, heading):
        assert all(cells), cells


def test_the_states_conditions_are_those_that_are_written() -> None:
    """The table of states shows the conditions as the operator writes them, and which states are final."""
    session = make.session()
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    for cells in rows(PAGE, "States"):
        state = State(cells[0].strip("`"))
        written = status.conditions(session, state=state, reason=Reason.PENDING, message="", now=now)
        assert cells[3:] == [condition.status for condition in written], state
        assert cells[1] == ("yes" if state.final else "no"), state


def test_reasons_stand_beside_the_states_they_end_in() -> None:
    """The states that the table of ends names exist and are final."""
    for cells in rows(PAGE, ENDED):
        states = [word.strip("` ") for word in cells[1].replace(" or ", " ").split(",")]
        assert all(State(state).final for state in states), cells
