"""What one attempt at a session has learnt, and what the next attempt at it has to know of the last.

The reconciler begins an attempt for each call and hands it back when it fails or gives way. Nothing true lives here:
an operator that starts without it asks the API server the same questions again. It must never decide what is done.
"""

from __future__ import annotations

from tasksession.api.conditions import State
from tasksession.api.partial import is_cut
from tasksession.api.session import TaskSession
from tasksession.lifecycle.observed import Progress, Refusal, Review
from tasksession.lifecycle.task_job import is_joined


class Attempt:
    """What one call has learnt so far about one session."""

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


class Attempts:
    """Attempts that are held, and what those that failed have made; by the session's uid."""

    def __init__(self) -> None:
        self._held: dict[str, Attempt] = {}
        self._progress: dict[str, Progress] = {}
        self._broken_off: set[str] = set()
        self._with_rights: set[str] = set()

    @property
    def held(self) -> list[Attempt]:
        """Attempts that began to take rights and have more to do."""
        return list(self._held.values())

    def holds(self, uid: str) -> bool:
        """Whether a session's attempt is held."""
        return uid in self._held

    def took_rights(self, uid: str) -> bool:
        """Whether a session's attempt is held, and has taken all its rights: the rest of its end may wait."""
        held = self._held.get(uid)
        return held is not None and held.progress.role_bindings_gone

    def begin(self, session: TaskSession) -> Attempt:
        """Return a new attempt, which knows what the last one made."""
        return Attempt(session, self._progress.pop(session.metadata.uid, Progress()))

    def resume(self, uid: str) -> Attempt | None:
        """Take back the attempt that has begun to take a session's rights; None where there is none.

        There is no way back: a policy that has been set right since, or a look-up that now fails, must not leave a
        session active without its rights.
        """
        return self._held.pop(uid, None)

    def hold(self, attempt: Attempt) -> None:
        """Keep an attempt with all it knows: that decides how the session ends."""
        self._held[attempt.session.metadata.uid] = attempt

    def fail(self, attempt: Attempt, *, removed: bool) -> None:
        """Keep what the next attempt needs of one that failed."""
        session, progress = attempt.session, attempt.progress
        if attempt.takes_rights:
            self.hold(attempt)
        elif removed or session.status.state is State.ACTIVE:
            # What is gone stays gone.
            self._progress[session.metadata.uid] = progress
        elif progress.timer_uid is not None and progress.found is None:
            self._progress[session.metadata.uid] = progress.for_next_attempt

    def leave(self, attempt: Attempt, *, removed: bool) -> None:
        """Note whether an attempt that is over, however it ended, was broken off in mid-grant, and left rights."""
        uid = attempt.session.metadata.uid
        if removed or not is_ungranted(attempt.session):
            return
        if attempt.progress.timer_uid is not None:
            self._broken_off.add(uid)
        if attempt.progress.role_bindings_gone:
            self._with_rights.discard(uid)
        elif attempt.progress.role_bindings_made:
            self._with_rights.add(uid)

    def left_rights(self, uid: str) -> bool:
        """Whether an ungranted session may have rights that an attempt has made: it counts as being granted."""
        return uid in self._with_rights

    def granted(self, uid: str) -> None:
        """Note that nothing of the session is left in mid-grant."""
        self._broken_off.discard(uid)
        self._with_rights.discard(uid)

    def reads_job(self, attempt: Attempt) -> bool:
        """Whether an attempt that may grant reads the Job that is known, and has not yet.

        What joins is told by its name alone, and may be a namesake. Where an attempt was broken off, what it made may
        be gone with the Job, untold: made again for the same Job, it would be the same identity once more.
        """
        session = attempt.session
        doubtful = is_joined(session) or session.metadata.uid in self._broken_off
        return doubtful and is_ungranted(session) and not attempt.job_read

    def forget(self, uid: str) -> None:
        """Forget a session that has ended."""
        self._held.pop(uid, None)
        self._progress.pop(uid, None)
        self._broken_off.discard(uid)
        self._with_rights.discard(uid)


def is_ungranted(session: TaskSession) -> bool:
    """Whether a session waits for its grant, or its grant is under way."""
    return session.status.state is not State.ACTIVE and not session.status.state.final


def is_newer(session: TaskSession, known: TaskSession) -> bool:
    """Whether a view of a session is newer than another one; a version that is no number is taken for the oldest."""
    versions = [view.metadata.resource_version or "" for view in (session, known)]
    one, other = (int(version) if version.isdecimal() else 0 for version in versions)
    return one > other


def decides_alike(one: TaskSession, other: TaskSession) -> bool:
    """Whether two views of a session have in common all that decisions are made from."""
    same = one.metadata.uid == other.metadata.uid and one.metadata.generation == other.metadata.generation
    deleting = one.metadata.deletion_timestamp == other.metadata.deletion_timestamp
    return same and deleting and one.status == other.status
