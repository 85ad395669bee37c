"""Re-checks all live sessions at a sweep: those that are alike by one review, and each by its own where that says no.

The sweep calls it. A yes for one session is a yes for all that policy cannot tell from it; a no, or no answer, ends
nobody here: every session that it may concern is then reviewed by itself, as after any change.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from tasksession.api.session import TaskSession
from tasksession.cluster.errors import ClusterError
from tasksession.engine.reconciler import Reconciler
from tasksession.engine.reviews import Reviewer
from tasksession.policy.evaluation import recheck_basis


class Rechecks:
    """Reviews by groups; what it finds doubtful it hands to the reconciler."""

    def __init__(self, *, reviewer: Reviewer, reconciler: Reconciler) -> None:
        self._reviewer = reviewer
        self._reconciler = reconciler

    async def run(self, sessions: Iterable[TaskSession]) -> None:
        """Have every one of these sessions re-checked."""
        groups: dict[Hashable, list[TaskSession]] = {}
        for session in sessions:
            groups.setdefault(recheck_basis(session), []).append(session)
        for group in groups.values():
            if len(group) > 1 and await self._goes_on(group[0]):
                continue
            for session in group:
                self._reconciler.recheck(session)

    async def _goes_on(self, session: TaskSession) -> bool:
        try:
            return (await self._reviewer.review(session, live=True)).goes_on
        except ClusterError:
            return False
