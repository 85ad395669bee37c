"""Everything that is remembered of one session between one drive and the next, by its uid, and forgotten at once.

Drives work on it; the sweep and the re-checks leave notes in it. Nothing true lives here: an operator that starts
without it asks the API server the same questions again. It must never decide what is done.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasksession.api.conditions import State
from tasksession.api.metadata import version_number
from tasksession.api.partial import is_cut
from tasksession.api.session import TaskSession
from tasksession.lifecycle.observed import Progress, Refusal, Review
from tasksession.lifecycle.task_job import is_joined

#: How long a session that waits is left alone after a drive, in seconds, unless something that matters changes.
LEAST_SECONDS = 2.0
#: How long a session is left alone whose status somebody else's writes keep from being stored: doubled each time.
_CONTENDED_SECONDS, _LONGEST_CONTENDED_SECONDS = 0.25, 8.0


class Attempt:
    """What one drive has learnt so far about its session."""

    def __init__(self, session: TaskSession, progress: Progress) -> None:
        self.session = session
        self.progress = progress
        self.review: Review | None = None
        self.refusal: Refusal | None = None
        self.job_read = False
        self.takes_rights = False
        self.conflicts = 0

    def take(self, session: TaskSession) -> None:
        """Go on with a newer view of the session.

        Of a large one the view may be a part. Where nothing that decides has changed, what was read whole is kept:
        whoever writes labels all the time would else have it read, and judged, at every step.
        """
        if is_cut(session) and not is_cut(self.session) and decides_alike(self.session, session):
            version = {"resource_version": session.metadata.resource_version}
            metadata = self.session.metadata.model_copy(update=version)
            self.session = self.session.model_copy(update={"metadata": metadata})
            return
        self.session = session
        if is_cut(session):
            # What was judged is not in this view: it is read, and judged, again.
            self.review = None


@dataclass(frozen=True, slots=True)
class _Pause:
    until: datetime
    facts: Hashable
    conflicts: int


class Case:
    """What is remembered of one session."""

    __slots__ = (
        "_broken_off", "_pause", "_progress", "asked", "held", "identity_missing", "left_rights", "recorded",
    )  # fmt: skip

    def __init__(self) -> None:
        self.held: Attempt | None = None
        """The attempt that has begun to take the session's rights.

        There is no way back: a policy that has been set right since, or a look-up that now fails, must not leave a
        session active without its rights.
        """
        self.left_rights = False
        """Whether an ungranted session may have rights that an attempt has made: it counts as being granted."""
        self.asked = 0
        """How often a review was asked for that has not been answered."""
        self.identity_missing: str | None = None
        """What of its identity or its rights is gone, in words, as the sweep saw."""
        self.recorded = False
        """Whether its record was written before a status says that it is over."""
        self._progress: Progress | None = None
        self._broken_off = False
        self._pause: _Pause | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing is remembered."""
        notes = (self.held, self.identity_missing, self._progress, self._pause)
        return not any((self.left_rights, self.asked, self.recorded, self._broken_off)) and notes == (None,) * 4

    @property
    def has_taken_rights(self) -> bool:
        """Whether an attempt is held that has taken all rights: the rest of the end may wait."""
        return self.held is not None and self.held.progress.role_bindings_gone

    # Attempts

    def begin(self, session: TaskSession) -> Attempt:
        """Return a new attempt, which knows what the last one made."""
        progress, self._progress = self._progress, None
        return Attempt(session, progress or Progress())

    def resume(self) -> Attempt | None:
        """Take back the attempt that has begun to take the session's rights; None where there is none."""
        held, self.held = self.held, None
        return held

    def fail(self, attempt: Attempt, *, removed: bool) -> None:
        """Keep what the next attempt needs of one that failed."""
        progress = attempt.progress
        if attempt.takes_rights:
            self.held = attempt
        elif removed or attempt.session.status.state is State.ACTIVE:
            # What is gone stays gone.
            self._progress = progress
        elif progress.timer_uid is not None and progress.found is None:
            self._progress = progress.for_next_attempt

    def leave(self, attempt: Attempt, *, removed: bool) -> None:
        """Note whether an attempt that is over, however it ended, was broken off in mid-grant, and left rights."""
        if removed or not is_ungranted(attempt.session):
            return
        if attempt.progress.timer_uid is not None:
            self._broken_off = True
        if attempt.progress.role_bindings_gone:
            self.left_rights = False
        elif attempt.progress.role_bindings_made:
            self.left_rights = True

    def ended(self) -> None:
        """Note that the session is over: what was to be looked at again is not."""
        self.asked, self.identity_missing, self._pause = 0, None, None

    def granted(self) -> None:
        """Note that nothing of the session is left in mid-grant."""
        self._broken_off = self.left_rights = False

    def reads_job(self, attempt: Attempt) -> bool:
        """Whether an attempt that may grant reads the Job that is known, and has not yet.

        What joins is told by its name alone, and may be a namesake. Where an attempt was broken off, what it made may
        be gone with the Job, untold: made again for the same Job, it would be the same identity once more.
        """
        doubtful = is_joined(attempt.session) or self._broken_off
        return doubtful and is_ungranted(attempt.session) and not attempt.job_read

    # Pauses: whoever may write to a TaskSession can have the watch bring it a hundred times a second, and that must
    # cost neither requests nor the others' time. A pause ends at once where the facts it was made for have changed.

    def pause_left(self, facts: Hashable, now: datetime) -> float:
        """For how many seconds the session is to be left alone, 0 where it is to be driven."""
        if self._pause is None or self._pause.facts != facts:
            return 0.0
        return max(0.0, (self._pause.until - now).total_seconds())

    def rested(self, facts: Hashable, now: datetime, *, seconds: float) -> None:
        """Note that the session came to rest, and has to be driven in so many seconds at the latest."""
        self._pause = _Pause(now + timedelta(seconds=min(LEAST_SECONDS, max(0.0, seconds))), facts, 0)

    def contended(self, facts: Hashable, now: datetime) -> float:
        """Note that writes of others were in the way of ours twice; returns for how long to leave the session alone."""
        conflicts = self._pause.conflicts if self._pause is not None else 0
        seconds = min(_LONGEST_CONTENDED_SECONDS, _CONTENDED_SECONDS * 2.0**conflicts)
        self._pause = _Pause(now + timedelta(seconds=seconds), facts, conflicts + 1)
        return seconds

    def wake(self) -> None:
        """Have the session driven the next time, whatever was noted."""
        self._pause = None


class Cases:
    """The cases of all sessions of which something is remembered."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._granting: dict[str, TaskSession] = {}

    def open(self, uid: str) -> Case:
        """The case of a session, to be read and written: a new one where nothing is remembered."""
        return self._cases.setdefault(uid, Case())

    def find(self, uid: str) -> Case | None:
        """The case of a session, None where nothing is remembered."""
        return self._cases.get(uid)

    def leave(self, uid: str) -> None:
        """Note that a drive is over: its session is granted now, or is not being granted any more."""
        case = self._cases.get(uid)
        if case is None or not case.left_rights:
            self._granting.pop(uid, None)
        if case is not None and case.is_blank:
            del self._cases[uid]

    def forget(self, uid: str) -> None:
        """Forget a session that is over or gone."""
        self._cases.pop(uid, None)
        self._granting.pop(uid, None)

    def grants(self, session: TaskSession) -> None:
        """Count a session as one that is being granted, until the drive is over, or what it left is gone."""
        self._granting[session.metadata.uid] = session

    def granting(self, policy: str) -> list[TaskSession]:
        """The sessions of a policy that are being granted at this moment: limits hold among them too."""
        return [session for session in self._granting.values() if session.spec.policy == policy]

    @property
    def held(self) -> list[Attempt]:
        """Attempts that began to take rights and have more to do."""
        return [case.held for case in self._cases.values() if case.held is not None]


def is_ungranted(session: TaskSession) -> bool:
    """Whether a session waits for its grant, or its grant is under way."""
    return session.status.state is not State.ACTIVE and not session.status.state.final


def is_newer(session: TaskSession, known: TaskSession) -> bool:
    """Whether a view of a session is newer than another one."""
    return version_number(session.metadata.resource_version) > version_number(known.metadata.resource_version)


def decides_alike(one: TaskSession, other: TaskSession) -> bool:
    """Whether two views of a session have in common all that decisions are made from."""
    same = one.metadata.uid == other.metadata.uid and one.metadata.generation == other.metadata.generation
    deleting = one.metadata.deletion_timestamp == other.metadata.deletion_timestamp
    return same and deleting and one.status == other.status
