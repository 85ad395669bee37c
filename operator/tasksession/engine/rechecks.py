"""Has live sessions re-checked: all of a policy when that changes, and all there are at a sweep.

The intake and the sweep call it. At a sweep those that are alike are re-checked by one review. A yes for one session is
a yes for all that policy cannot tell from it; a no, or no answer, ends nobody here: every session that it concerns is
reviewed by itself then, as after any change.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.cluster.errors import ClusterError
from tasksession.engine.memory import Memory
from tasksession.engine.queue import NORMAL
from tasksession.engine.reviews import Reviewer
from tasksession.engine.schedule import Schedule
from tasksession.policy.evaluation import recheck_basis


class Rechecks:
    """Reviews by groups; what it finds doubtful it has looked at again."""

    def __init__(self, *, memory: Memory, reviewer: Reviewer, schedule: Schedule) -> None:
        self._memory = memory
        self._reviewer = reviewer
        self._schedule = schedule

    def policy_changed(self, name: str) -> None:
        """Have every session of a policy re-checked, first of all those whose policy is suspended or gone."""
        for session in self._memory.unfinished.of_policy(name):
            # Also one whose grant is under way: its review may have seen the policy as it was.
            self._schedule.recheck(session, order=self._order(session))

    def withdrawn(self) -> None:
        """Have the live sessions re-checked whose policy is suspended or gone; for when the policies are known."""
        for session in self._memory.sessions():
            if session.status.state is State.ACTIVE and self._memory.is_withdrawn(session.spec.policy):
                self._schedule.recheck(session, order=self._order(session))

    def _order(self, session: TaskSession) -> float:
        deadline = session.status.deadline if session.status.state is State.ACTIVE else None
        ends = deadline is not None and self._memory.is_withdrawn(session.spec.policy)
        return deadline.timestamp() if deadline is not None and ends else NORMAL

    async def run(self, sessions: Iterable[TaskSession]) -> None:
        """Have every one of these sessions re-checked."""
        groups: dict[Hashable, list[TaskSession]] = {}
        for session in sessions:
            groups.setdefault(recheck_basis(session), []).append(session)
        for group in groups.values():
            if len(group) > 1 and await self._goes_on(group[0]):
                continue
            for session in group:
                self._schedule.recheck(session)

    async def _goes_on(self, session: TaskSession) -> bool:
        try:
            return (await self._reviewer.review(session, live=True)).goes_on
        except ClusterError:
            return False
