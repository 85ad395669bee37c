"""Gathers the answers that policy needs about one session and has policy judge them.

The reconciler asks for a review before a grant, and for live sessions when a policy changed or a sweep came round.
Every answer is fresh, or the review says that it failed: a missing answer is never a yes, and never an end either.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError

from tasksession.api.access import RoleReference
from tasksession.api.conditions import State
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tasksession.cluster.clock import ServerClock
from tasksession.cluster.client import Object
from tasksession.cluster.errors import ClusterError
from tasksession.cluster.questions import Questions
from tasksession.engine.conditions import ConditionEvaluator
from tasksession.engine.memory import Memory
from tasksession.lifecycle.observed import Review
from tasksession.policy.evaluation import Facts, RoleFact, effective_access, evaluate, recheck


class Reviewer:
    """Reviews sessions; it also counts those whose grant is under way, so that limits hold among them."""

    def __init__(
        self,
        *,
        questions: Questions,
        memory: Memory,
        evaluator: ConditionEvaluator,
        clock: ServerClock,
        excluded_namespaces: tuple[str, ...],
    ) -> None:
        self._questions = questions
        self._memory = memory
        self._evaluator = evaluator
        self._clock = clock
        self._excluded = frozenset(excluded_namespaces)
        self._granting: dict[str, TaskSession] = {}

    def settle(self, session_uid: str) -> None:
        """Say that an attempt is over: the session counts as active now, or not at all."""
        self._granting.pop(session_uid, None)

    async def review(self, session: TaskSession, *, live: bool) -> Review:
        """Look everything up and judge; `live` sessions are re-checked, others evaluated in full."""
        try:
            policy = await self._policy(session.spec.policy)
            if policy is None:
                return Review(recheck=recheck(session=session, policy=None, facts=None) if live else None)
            facts = await self._facts(session, policy, live=live)
        except (ClusterError, ValidationError, TimeoutError) as error:
            return Review(failed=f"A look-up that policy needs failed, it is tried again ({type(error).__name__}).")
        if live:
            return Review(policy=policy, recheck=recheck(session=session, policy=policy, facts=facts))
        # From counting to noting the grant there must be no await: two sessions could both see the last free place.
        counted = self._with_counts(session, facts)
        verdict = evaluate(session=session, policy=policy, facts=counted)
        if verdict.allowed:
            self._granting[session.metadata.uid] = session
        return Review(policy=policy, verdict=verdict)

    async def _policy(self, name: str) -> SessionPolicy | None:
        known = self._memory.policy(name)
        if known is not None:
            return known
        # The session may have come ahead of the watch's news of its policy.
        found = await self._questions.policy(name)
        if found is None:
            return None
        self._memory.see_policy(found)
        return SessionPolicy.model_validate(found)
