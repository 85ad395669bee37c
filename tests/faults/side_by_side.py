"""Runs a piece of work in each of several lanes at once, since lives wait far more than they work.

Called by tests that are not plans. The first failure is raised when all have ended, so that no lane is left at work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.lane import Lane

_Item = TypeVar("_Item")


def side_by_side(lanes: Sequence[Lane], items: Sequence[_Item], work: Callable[[Lane, _Item], None]) -> None:
    """Do the work for each item, in a lane of its own."""
    assert len(items) <= len(lanes), "an item needs a lane of its own"
    with ThreadPoolExecutor(len(items)) as pool:
        futures = [pool.submit(work, lane, item) for lane, item in zip(lanes, items, strict=False)]
    for future in futures:
        future.result()
