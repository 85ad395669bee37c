"""Brings all that bears one name to rest: sessions that are gone, the one that exists, and the Jobs that take part.

The engine asks for it, one worker at a time for each name, and the tests' state machine does. It holds no truth.
"""

from __future__ import annotations

from datetime import timedelta

from tasksession.api.session import TaskSession
from tasksession.lifecycle.asking import attend
from tasksession.lifecycle.case import Cases
from tasksession.lifecycle.drive import Drive, Plan
from tasksession.lifecycle.job_requests import Attend, JobRequests
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.plan import plan
from tasksession.lifecycle.requests import Paused, Settled, Steps
from tasksession.lifecycle.surroundings import Known, Schedule, Telemetry


class Incarnations:
    """All sessions of a name, one after another."""

    def __init__(
        self,
        cases: Cases,
        known: Known,
        telemetry: Telemetry,
        schedule: Schedule,
        *,
        plan: Plan = plan,
        attend: Attend = attend,
    ) -> None:
        self._cases = cases
        self._known = known
        self._telemetry = telemetry
        self._schedule = schedule
        self._plan = plan
        self._job_requests = JobRequests(known, telemetry, schedule, attend)

    def steps(self, key: Key) -> Steps[None]:
        """Bring every session of a name, and its Jobs, to rest."""
        known, cases = self._known, self._cases
        for gone in known.removed(key):
            case = cases.find(gone.metadata.uid)
            recorded = case is not None and case.recorded
            if not gone.status.state.final:
                if isinstance((yield from self._drive(gone, removed=True)), Paused):
                    return
                self._telemetry.removed(gone, recorded=recorded)
            cases.forget(gone.metadata.uid)
            known.cleared(gone)
        session = known.session(key)
        if session is not None:
            # What ends a session never waits for what its Jobs may need.
            yield from self._drive(session, removed=False)
        if self._is_too_soon(key):
            # An identity's name carries the Job's uid and a deadline in whole seconds: a second session of the same
            # Job must not come to the name of the first.
            self._schedule.later(key, 1.0)
        else:
            yield from self._job_requests.steps(key)
        made = known.session(key)
        if made is not None and session is None:
            yield from self._drive(made, removed=False)

    def _drive(self, session: TaskSession, *, removed: bool) -> Steps[Settled]:
        uid = session.metadata.uid
        case = self._cases.open(uid)
        drive = Drive(session, case, self._known, self._telemetry, removed=removed, plan=self._plan)
        try:
            end = yield from drive.steps()
        finally:
            self._cases.leave(uid)
        if end.session.status.state.final and not removed:
            self._cases.forget(uid)
        self._schedule.settled(end)
        if end.session.status.state.final and not session.status.state.final:
            self._schedule.place_is_free(session.spec.policy)
        return end

    def _is_too_soon(self, key: Key) -> bool:
        """Whether a session of that name that is gone was created in this very second."""
        used = self._known.name_used_at(key)
        return used is not None and self._known.now() < used + timedelta(seconds=1)
