"""Gathers the answers that policy needs about one session and has policy judge them.

The reconciler asks for a review before a grant, and for live sessions when a policy changed or a sweep came round.
Every answer is fresh, or the review says that it failed: a missing answer is never a yes, and never an end either. No
answer at all, or one that says to come back later, is raised, for the queue to try again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tasksession.cluster.client import Object
from tasksession.cluster.clock import ServerClock
from tasksession.cluster.errors import Refused
from tasksession.cluster.questions import Questions
from tasksession.engine.condition_evaluator import ConditionEvaluator
from tasksession.engine.memory import Memory
from tasksession.engine.unfinished import requester_of
from tasksession.lifecycle.case import Cases
from tasksession.lifecycle.observed import Review
from tasksession.policy.evaluation import evaluate, recheck, roles_to_look_up
from tasksession.policy.facts import ConditionAnswer, Facts, NamespaceFact

_TOO_MANY_REQUESTS = 429
_SERVER_FAULT = 500


class Reviewer:
    """Reviews sessions; those that it allows count as being granted at once, so that limits hold among them."""

    def __init__(
        self,
        *,
        questions: Questions,
        memory: Memory,
        cases: Cases,
        evaluator: ConditionEvaluator,
        clock: ServerClock,
        excluded_namespaces: tuple[str, ...],
    ) -> None:
        self._questions = questions
        self._memory = memory
        self._cases = cases
        self._evaluator = evaluator
        self._clock = clock
        self._excluded = frozenset(excluded_namespaces)

    async def review(self, session: TaskSession, *, live: bool) -> Review:
        """Look everything up and judge; `live` sessions are re-checked, others evaluated in full."""
        try:
            return await self._judged(session, live=live)
        except Refused as error:
            if error.status == _TOO_MANY_REQUESTS:
                raise
            said = error.message if error.status < _SERVER_FAULT else f"{error.status} {error.reason}"
            return Review(failed=f"The API server refused a look-up that policy needs: {said}")
        except (LookupError, ValidationError) as error:
            return Review(failed=f"A look-up that policy needs had no usable answer ({type(error).__name__}).")

    async def _judged(self, session: TaskSession, *, live: bool) -> Review:
        name = session.spec.policy
        known = self._memory.policy(name)
        if live and known is not None:
            return await self._rechecked(session, known)
        # A grant is never made on a policy that the watch may be late with: it is read beside the other look-ups.
        found, facts_of_known = await asyncio.gather(self._questions.policy(name), self._facts_or_none(session, known))
        if found is None:
            return Review(recheck=recheck(session=session, policy=None, facts=None) if live else None)
        if known is not None and known.metadata.resource_version == found["metadata"]["resourceVersion"]:
            policy, facts_now = known, facts_of_known
        else:
            policy, facts_now = SessionPolicy.model_validate(found), None
            self._memory.see_policy(found)
        if live:
            return await self._rechecked(session, policy)
        if facts_now is None:
            facts_now = await self._facts(session, policy, live=False)
        # From counting to noting the grant there must be no await: two sessions could both see the last free place.
        facts_now = facts_now if policy.spec.limits is None else self._with_counts(session, facts_now)
        verdict = evaluate(session=session, policy=policy, facts=facts_now)
        if verdict.allowed:
            self._cases.grants(session)
        return Review(policy=policy, verdict=verdict)

    async def _rechecked(self, session: TaskSession, policy: SessionPolicy) -> Review:
        """Judge a live session again. A suspended policy ends it whatever else can, or cannot, be looked up."""
        facts = None if policy.spec.suspended else await self._facts(session, policy, live=True)
        return Review(policy=policy, recheck=recheck(session=session, policy=policy, facts=facts))

    async def _facts_or_none(self, session: TaskSession, policy: SessionPolicy | None) -> Facts | None:
        return None if policy is None else await self._facts(session, policy, live=False)

    async def _facts(self, session: TaskSession, policy: SessionPolicy, *, live: bool) -> Facts:
        namespace = session.metadata.namespace
        references = roles_to_look_up(session, policy)
        looking_up_roles = asyncio.gather(*(self._questions.role(reference, namespace) for reference in references))
        found, may_use, ceiling, own_rules, roles = await asyncio.gather(
            self._questions.namespace(namespace),
            self._may_use(session),
            self._questions.ceiling(),
            self._questions.own_rules(namespace),
            looking_up_roles,
        )
        now = self._clock.now()
        answers: tuple[ConditionAnswer, ...] = ()
        if not live:
            answers = await self._conditions(session, policy, found, now)
        labels = None if found is None else (found["metadata"].get("labels") or {})
        return Facts(
            now=now,
            namespace=NamespaceFact(name=namespace, labels=labels),
            excluded_namespaces=self._excluded,
            may_use=may_use,
            ceiling=ceiling,
            own_rules=own_rules,
            roles=dict(zip(references, roles, strict=True)),
            condition_answers=answers,
        )

    async def _may_use(self, session: TaskSession) -> bool:
        requester = session.spec.requester
        if requester is None:
            return False
        return await self._questions.may_use(
            requester, policy=session.spec.policy, namespace=session.metadata.namespace
        )

    async def _conditions(
        self, session: TaskSession, policy: SessionPolicy, namespace: Object | None, now: datetime
    ) -> tuple[ConditionAnswer, ...]:
        if not policy.spec.conditions:
            return ()
        shown = session.model_dump(mode="json", by_alias=True, exclude_none=True)
        requester: dict[str, Any] = dict(shown["spec"].get("requester") or {})
        return await self._evaluator.evaluate(
            policy.spec.conditions,
            session=shown,
            requester=requester,
            namespace_object=namespace or {},
            policy=policy.model_dump(mode="json", by_alias=True, exclude_none=True),
            now=now,
        )

    def _with_counts(self, session: TaskSession, facts: Facts) -> Facts:
        """Count the other sessions of the policy that are live or being granted at this moment."""
        policy, requester = session.spec.policy, requester_of(session)
        unfinished, is_active = self._memory.unfinished, self._memory.is_active
        granting = [
            other
            for other in self._cases.granting(policy)
            if other.metadata.uid != session.metadata.uid and not is_active(other)
        ]
        itself = int(is_active(session))
        same = sum(requester_of(other) == requester for other in granting)
        return replace(
            facts,
            active=unfinished.active(policy) + len(granting) - itself,
            active_per_requester=unfinished.active_of(policy, requester) + same - itself,
        )
