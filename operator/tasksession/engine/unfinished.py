"""Which sessions are not finished, by policy, and how many of them are active: kept, not counted anew each time.

Memory keeps it up to date with each view it takes in; limits, re-checks and those who wait for a limit ask it. It
holds nothing that memory does not hold.
"""

from __future__ import annotations

from collections import Counter

from tasksession.api.conditions import State
from tasksession.api.session import TaskSession


class Unfinished:
    """Unfinished sessions by policy, and counts of the active ones by policy and requester."""

    def __init__(self) -> None:
        self._of_policy: dict[str, dict[str, TaskSession]] = {}
        self._active: Counter[str] = Counter()
        self._active_of: Counter[tuple[str, str | None]] = Counter()
        self._without_rights: set[str] = set()

    def take_in(self, session: TaskSession) -> None:
        """Take in a session that is new, or was taken out just before."""
        if session.status.state.final:
            return
        policy = session.spec.policy
        self._of_policy.setdefault(policy, {})[session.metadata.uid] = session
        if self._counts(session):
            self._active[policy] += 1
            self._active_of[policy, requester_of(session)] += 1

    def take_out(self, session: TaskSession) -> None:
        """Take out a view that was taken in: a newer one comes, or the session is gone."""
        policy = session.spec.policy
        if self._of_policy.get(policy, {}).pop(session.metadata.uid, None) is None:
            return
        if not self._of_policy[policy]:
            del self._of_policy[policy]
        if self._counts(session):
            self._subtract(policy, requester_of(session))

    def rights_gone(self, session: TaskSession) -> None:
        """Count a session no more, whatever its status still says: what limits bound are rights that exist."""
        uid = session.metadata.uid
        known = self._of_policy.get(session.spec.policy, {}).get(uid)
        if known is not None and self._counts(known):
            self._subtract(known.spec.policy, requester_of(known))
            self._without_rights.add(uid)

    def forget(self, session: TaskSession) -> None:
        """Forget a session that has ended."""
        self._without_rights.discard(session.metadata.uid)

    def _counts(self, session: TaskSession) -> bool:
        return session.status.state is State.ACTIVE and session.metadata.uid not in self._without_rights

    def _subtract(self, policy: str, requester: str | None) -> None:
        self._active[policy] -= 1
        self._active_of[policy, requester] -= 1
        if not self._active[policy]:
            del self._active[policy]
        if not self._active_of[policy, requester]:
            del self._active_of[policy, requester]

    def of_policy(self, policy: str) -> tuple[TaskSession, ...]:
        """All unfinished sessions that ask for a policy, or were granted under it."""
        return tuple(self._of_policy.get(policy, {}).values())

    def active(self, policy: str) -> int:
        """How many sessions of a policy are active."""
        return self._active[policy]

    def active_of(self, policy: str, requester: str | None) -> int:
        """How many sessions of a policy and a requester are active."""
        return self._active_of[policy, requester]


def requester_of(session: TaskSession) -> str | None:
    """The user name of a session's requester."""
    return session.spec.requester.username if session.spec.requester else None
