"""The decision at the heart of the operator: given a TaskSession, what was observed and the time, what comes next.

The engine calls `plan` again and again, for one session at a time, from any starting point: after an event, a crash,
a repeat or a conflict. It is level-triggered: nothing depends on how this point was reached. It must never perform
I/O, read a clock, or grant on missing knowledge.
"""

from datetime import datetime, timedelta

from tasksession.api.conditions import State
from tasksession.api.partial import problem_with
from tasksession.api.session import TaskSession
from tasksession.api.tracking import tracking_marks
from tasksession.lifecycle.actions import DeleteSession, WriteStatus
from tasksession.lifecycle.decision import NOTHING, Decision
from tasksession.lifecycle.ending import (
    end,
    end_unreadable,
    finish_ungranted,
    reason_to_end,
    reason_to_give_up,
    remove_leftovers,
    session_job,
    take_back,
    was_stopped,
)
from tasksession.lifecycle.granting import grant, release
from tasksession.lifecycle.observed import Observed


def plan(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Decide the next step of `session` at server time `now`."""
    if observed.removed:
        return remove_leftovers(session, observed)
    if session.status.state.final:
        return _finished(session, observed, now)
    if observed.progress.written_elsewhere:
        return NOTHING
    if problem_with(session) is not None:
        return end_unreadable(session, observed, now)
    if session.status.state != State.ACTIVE:
        decision = _ungranted(session, observed, now)
        if not _waits(decision):
            return decision
        # Whatever it waits for, and however long: until it is granted it has no rights, also none of a part of a grant.
        return take_back(session, observed) or decision
    job = session_job(session, observed)
    deleting = session.metadata.deletion_timestamp is not None
    told = session.spec.revoked or deleting or observed.identity_missing or observed.review is not None
    if job is not None and was_stopped(session, job) and not told:
        # The Job ended because an earlier attempt stopped it: why, only policy can tell again.
        return Decision(needs_review=True, look_again=session.status.deadline)
    ending = reason_to_end(session, observed, now)
    if ending is not None:
        return end(session, observed, ending, now)
    if observed.recheck_due and observed.review is None:
        return Decision(needs_review=True, look_again=session.status.deadline)
    return release(session, observed, now)


def _ungranted(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    if observed.namespace_ends:
        return NOTHING
    ending = reason_to_give_up(session, observed)
    if ending is not None:
        return finish_ungranted(session, observed, ending, now)
    return grant(session, observed, now)


def _waits(decision: Decision) -> bool:
    """Whether an ungranted session is left as it is for now: nothing is asked, made, granted or ended."""
    waiting = (State.PENDING, State.AWAITING_APPROVAL)
    return not decision.needs_review and all(
        isinstance(action, WriteStatus) and action.status.state in waiting for action in decision.actions
    )


def is_tracked(session: TaskSession) -> bool:
    """Whether a GitOps tool applied this object, and would create it again if it were deleted."""
    return bool(tracking_marks(session.metadata.labels, session.metadata.annotations))


def _finished(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Nothing is left to do but to clear away what an interrupted end left, and, if asked for, the tombstone."""
    if observed.progress.found:
        leftovers = remove_leftovers(session, observed)
        if leftovers.actions:
            return leftovers
    seconds = session.spec.ttl_seconds_after_finished
    ended_at = session.status.ended_at
    deleting = session.metadata.deletion_timestamp is not None
    if seconds is None or ended_at is None or deleting or is_tracked(session):
        return NOTHING
    due = ended_at + timedelta(seconds=seconds)
    if now < due:
        return Decision(look_again=due)
    metadata = session.metadata
    return Decision(actions=(DeleteSession(namespace=metadata.namespace, name=metadata.name, uid=metadata.uid),))
