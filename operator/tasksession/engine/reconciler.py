"""Carries out what drives ask for, against the API server.

Workers call it, one at a time for each name. It decides nothing: what is asked for, and what follows from the answers,
is `lifecycle`'s to say. An error is handed back to the drive, which passes it on, for the queue to try again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tasksession.api.fragment import LARGEST, LARGEST_GRANTED
from tasksession.api.session import TaskSession
from tasksession.cluster import paths
from tasksession.cluster.applying import Applier
from tasksession.cluster.client import Client
from tasksession.cluster.errors import ClusterError
from tasksession.engine.denials import Denials
from tasksession.engine.memory import readable
from tasksession.engine.reviews import Reviewer
from tasksession.engine.schedule import Schedule
from tasksession.engine.telemetry import failure_fields
from tasksession.lifecycle.case import Attempt
from tasksession.lifecycle.incarnations import Incarnations
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.observed import ObservedJob, Review
from tasksession.lifecycle.requests import (
    Apply,
    ApplyTogether,
    AskPolicy,
    Outcome,
    ReadJob,
    ReadSession,
    Request,
    Unread,
    WriteAside,
)

_logger = logging.getLogger(__name__)


class Reconciler:
    """Brings names to rest."""

    def __init__(
        self, *, client: Client, reviewer: Reviewer, denials: Denials, incarnations: Incarnations, schedule: Schedule
    ) -> None:
        self._client = client
        self._applier = Applier(client)
        self._reviewer = reviewer
        self._denials = denials
        self._incarnations = incarnations
        self._schedule = schedule

    async def reconcile(self, key: Key) -> None:
        """Bring every session of a name, and its Jobs, to rest. Raises ClusterError where it has to be tried again."""
        steps = self._incarnations.steps(key)
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                request = steps.throw(error) if error is not None else steps.send(answer)
            except StopIteration:
                break
            answer, error = None, None
            try:
                answer = await self._answer(request)
            except BaseException as met:
                error = met
        self._schedule.looked_at(key)

    async def drain(self, held: list[Attempt]) -> None:
        """Bring sessions to rest that gave way to others."""
        for attempt in held:
            key = key_of(attempt.session)
            try:
                await self.reconcile(key)
            except ClusterError as error:
                _logger.warning("a session is left to the next start", extra=failure_fields(key, error, 0.0))

    async def _answer(self, request: Request) -> Any:
        match request:
            case ReadSession():
                return await self._read_session(request)
            case ReadJob(namespace, name):
                found = await self._client.find(paths.one("Job", namespace, name))
                return None if found is None else ObservedJob.from_object(found)
            case AskPolicy(session, live):
                review: Review = await self._reviewer.review(session, live=live)
                return review
            case Apply(action, progress):
                outcome: Outcome = await self._applier.apply(action, progress)
                if outcome.session is not None:
                    self._schedule.arm_deadline(outcome.session)
                return outcome
            case ApplyTogether(actions, progress):
                done = await asyncio.gather(
                    *(self._applier.apply(action, progress) for action in actions), return_exceptions=True
                )
                return tuple(each for each in done if isinstance(each, BaseException))
            case WriteAside(session, action):
                return self._denials.put(session, action)

    async def _read_session(self, request: ReadSession) -> TaskSession | None:
        path = paths.one("TaskSession", request.namespace, request.name)
        found = await self._client.find(path, largest=LARGEST_GRANTED if request.to_grant else LARGEST)
        if found is None:
            return None
        session = readable(found)
        if session is None:
            raise Unread(f"TaskSession {request.namespace}/{request.name} does not fit the model")
        return session
