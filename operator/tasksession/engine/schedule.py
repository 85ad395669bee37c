"""When which session is looked at: the queue, the deadlines, and the notes for which a session is looked at again.

Drives, sweep, re-checks and the watch tell it what they saw. It decides nothing about a session but when its turn is.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from datetime import UTC, datetime

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.cluster.clock import ServerClock
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.memory import Memory
from tasksession.engine.queue import NORMAL, WorkQueue
from tasksession.lifecycle.case import Cases, is_ungranted
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.requests import Overtaken, Paused, Rested, Settled
from tasksession.lifecycle.status import reason_of

#: How soon a re-check that had no answer is made again.
_RECHECK_SECONDS = 30.0
#: How many more waiting sessions than there are places are woken: some may not be granted after all.
_WOKEN = 7
#: For how long ends count as one, in seconds: to look through all that wait takes its time.
_TOGETHER_SECONDS = 0.05


class Schedule:
    """`lifecycle.surroundings.Schedule`, for a cluster."""

    def __init__(
        self, queue: WorkQueue, deadlines: Deadlines, memory: Memory, cases: Cases, clock: ServerClock
    ) -> None:
        self._queue = queue
        self._deadlines = deadlines
        self._memory = memory
        self._cases = cases
        self._clock = clock
        self._freed: Counter[str] = Counter()

    # What drives tell

    def settled(self, end: Settled) -> None:
        """Come back to a session when its drive said so."""
        key = key_of(end.session)
        match end:
            case Rested(session, decision):
                if decision.look_again is None:
                    self._deadlines.disarm(key)
                else:
                    self._deadlines.arm(key, self._clock.monotonic_at(decision.look_again))
                case = self._cases.find(session.metadata.uid)
                if session.status.state is State.ACTIVE and case is not None and case.asked:
                    # The policy's answers could not be had; the rights stay until they can, or until the deadline.
                    self._queue.add_later(key, _RECHECK_SECONDS)
            case Paused(_, seconds):
                self._queue.add_later(key, seconds)
            case Overtaken(session):
                known = self._memory.session(key)
                if known is None or known.metadata.uid != session.metadata.uid:
                    self._queue.add(key, 0.0)

    def later(self, key: Key, seconds: float) -> None:
        """Look at a name again in so many seconds."""
        self._queue.add_later(key, seconds)

    def place_is_free(self, policy: str) -> None:
        """Wake the oldest of the sessions that wait for a limit of the policy, once for all that end together."""
        self._freed[policy] += 1
        if self._freed[policy] == 1:
            asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self._wake, policy)

    def _wake(self, policy: str) -> None:
        places = self._freed.pop(policy)
        known = self._memory.policy(policy)
        if known is not None and known.spec.limits is None:
            return
        waiting = (
            session
            for session in self._memory.unfinished.of_policy(policy)
            if reason_of(session.status) == Reason.LIMIT_REACHED
        )
        for session in heapq.nsmallest(places + _WOKEN, waiting, key=_age):
            case = self._cases.find(session.metadata.uid)
            if case is not None:
                case.wake()
            self._queue.add(key_of(session), NORMAL)

    # What others tell

    def recheck(self, session: TaskSession, *, order: float = NORMAL) -> None:
        """Have a session's policy looked at again; asking while a review is under way makes for another one."""
        self._cases.open(session.metadata.uid).asked += 1
        self._queue.add(key_of(session), order)

    def report_missing(self, session: TaskSession, message: str) -> None:
        """Have a session ended whose identity or rights are gone, as the sweep saw."""
        current = self._memory.session(key_of(session))
        case = self._cases.find(session.metadata.uid)
        held = case is not None and case.held is not None
        if current is None or current.status.state is not State.ACTIVE or held:
            return
        self._cases.open(session.metadata.uid).identity_missing = message
        self._queue.add(key_of(session), 0.0)

    def report_rights(self, session: TaskSession) -> None:
        """Have a session looked at that has RoleBindings and is not granted, as the sweep saw.

        The attempt that made them may still be under way: then they are its own, and it goes on.
        """
        current = self._memory.session(key_of(session))
        if current is None or current.metadata.uid != session.metadata.uid or not is_ungranted(current):
            return
        self._cases.open(session.metadata.uid).left_rights = True
        self._queue.add(key_of(session), 0.0)

    def arm_deadline(self, session: TaskSession) -> None:
        """Have the deadline of a live session called, whatever becomes of what is under way."""
        if session.status.state is State.ACTIVE and session.status.deadline is not None:
            moment = self._clock.monotonic_at(session.status.deadline)
            if moment > time.monotonic():
                self._deadlines.arm(key_of(session), moment)

    def swept(self, session: TaskSession) -> None:
        """Take in that the sweep saw a session: its deadline is armed, and what there may be to do is queued."""
        key = key_of(session)
        # Before any worker comes to it: whatever keeps workers busy, no deadline is forgotten.
        self.arm_deadline(session)
        removable = session.spec.ttl_seconds_after_finished is not None and not self._deadlines.is_armed(key)
        if removable or not session.status.state.final:
            self._queue.add(key, self._memory.urgency(key, self._clock.now()))

    def now(self, key: Key, *, order: float = NORMAL) -> None:
        """Look at a name as soon as its turn comes."""
        self._queue.add(key, order)

    def looked_at(self, key: Key) -> None:
        """Take in that a name was brought to rest: one that no session bears has no moment to come."""
        if self._memory.session(key) is None:
            self._deadlines.disarm(key)


def _age(session: TaskSession) -> datetime:
    return session.metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC)
