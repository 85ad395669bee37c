"""Every write of the life of an annotated Job that expires: rows 1, 2 and 3 of the faults."""

from __future__ import annotations

import pytest

from tests.faults.campaign import References
from tests.faults.every_write import every_write_may_be_the_last
from tests.faults.lives import EXPIRING
from tests.faults.tables import Record
from tests.support.lane import Lane


@pytest.mark.timeout(900)
def test_every_write_may_be_the_last(lanes: list[Lane], life_references: References, record_property: Record) -> None:
    """Whichever write is the operator's last before it is killed, or goes unanswered, the life ends as it should."""
    every_write_may_be_the_last(lanes, EXPIRING, life_references, record_property)
