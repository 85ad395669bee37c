"""Waiting with a deadline, the only way in which tests wait.

Called by tests and by the cluster's start. It never waits longer than it is told.
"""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(
    probe: Callable[[], Found | None],
    *,
    timeout: float,
    what: str,
    interval: float = 0.05,
    ignoring: tuple[type[Exception], ...] = (),
) -> Found:
    """Call `probe` every `interval` seconds until it returns something true, and return that.

    `what` completes "waited for …" in the `TimeoutError` that comes after `timeout` seconds; exceptions of the types
    `ignoring` count as not yet.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            if found := probe():
                return found
            last = found
        except ignoring as error:
            last = error
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}; the last answer was {last!r}")
        time.sleep(interval)
