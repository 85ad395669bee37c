"""Keeps a session at which nothing that matters has changed from being looked at again and again.

The reconciler asks before it begins with a session, and tells how the last look went. Whoever may write to a
TaskSession can have the watch bring it a hundred times a second: that must cost neither requests nor the others' time.
It must never hold up the taking of rights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: How long a session that waits is left alone after a look, in seconds, unless something that matters changes.
LEAST_SECONDS = 2.0
#: How long a session is left alone whose status somebody else's writes keep from being stored: doubled each time.
_CONTENDED_SECONDS, _LONGEST_CONTENDED_SECONDS = 0.25, 8.0


@dataclass(frozen=True, slots=True)
class _Pause:
    until: float
    facts: Hashable
    conflicts: int


class Pacing:
    """Pauses by the session's uid; each ends at once where the facts it was made for are no longer the same."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._pauses: dict[str, _Pause] = {}

    def left(self, uid: str, facts: Hashable) -> float:
        """For how many seconds a session is to be left alone, 0 where it is to be looked at."""
        pause = self._pauses.get(uid)
        if pause is None or pause.facts != facts:
            return 0.0
        return max(0.0, pause.until - self._monotonic())

    def rested(self, uid: str, facts: Hashable, *, seconds: float) -> None:
        """Note that a session came to rest, and has to be looked at in so many seconds at the latest."""
        self._pauses[uid] = _Pause(self._monotonic() + min(LEAST_SECONDS, max(0.0, seconds)), facts, 0)

    def contended(self, uid: str, facts: Hashable) -> float:
        """Note that writes of others were in the way of ours twice; returns for how long to leave the session alone."""
        known = self._pauses.get(uid)
        conflicts = known.conflicts if known is not None else 0
        seconds = min(_LONGEST_CONTENDED_SECONDS, _CONTENDED_SECONDS * 2.0**conflicts)
        self._pauses[uid] = _Pause(self._monotonic() + seconds, facts, conflicts + 1)
        return seconds

    def forget(self, uid: str) -> None:
        """Have a session looked at the next time, whatever was noted."""
        self._pauses.pop(uid, None)
