"""Waiting for what may still come, in any order, and giving up when its time is over.

The granting rules call this where something is missing that Git, a person or the cluster may still provide. A wait
that is over is a denial with the reason that was waited for.
"""

from datetime import datetime, timedelta

from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import status
from tasksession.lifecycle.actions import Announcement, WriteStatus
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.ending import Ending, finish_ungranted
from tasksession.lifecycle.observed import Observed

#: How long a session waits for what may still come where no deadline is known yet.
WAITING_LIMIT = timedelta(minutes=10)
#: How long it waits for an approval where it has no `notAfter`.
APPROVAL_LIMIT = timedelta(hours=24)
#: A wait that no event ends is looked at again after half its age, within these bounds.
_SOONEST, _LATEST = timedelta(seconds=2), timedelta(seconds=30)
#: What the operator is told of when it comes: a second look, in case it came meanwhile, and then seldom ones.
_TOLD_OF = frozenset(
    {
        Reason.POLICY_NOT_FOUND,
        Reason.LIMIT_REACHED,
        Reason.JOB_NOT_FOUND,
        Reason.GUARDS_MISSING,
        Reason.AWAITING_APPROVAL,
    }
)


def wait(
    session: TaskSession,
    observed: Observed,
    now: datetime,
    *,
    reason: Reason,
    message: str,
    deadline: datetime | None = None,
) -> Decision:
    """Show what is waited for, once, and say when to look again; deny when the time for it is over.

    `deadline` is the session's, where the policy is known; it bounds the wait. Where it cannot be known at this moment,
    one that an earlier look has written counts: a look-up that failed must not make a wait shorter.
    """
    created = session.metadata.creation_timestamp or now
    for_approval = _waits_for_approval(session, reason)
    if deadline is None and not for_approval:
        deadline = session.status.deadline
    until = _until(session, created, deadline, for_approval=for_approval)
    if now >= until:
        ending = Ending(State.DENIED, reason, f"Waited until {until:%Y-%m-%dT%H:%M:%SZ}. {message}")
        return finish_ungranted(session, observed, ending, now)
    same_reason = status.reason_of(session.status) == reason
    pause = min(_LATEST, max(_SOONEST, (now - created) / 2))
    if reason in _TOLD_OF:
        pause = _LATEST if same_reason else _SOONEST
    look_again = min(until, now + pause)
    if same_reason and status.message_of(session.status) == status.shown(message):
        return Decision(look_again=look_again)
    metadata = session.metadata
    write = WriteStatus(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        status=status.waiting(
            session,
            state=State.AWAITING_APPROVAL if for_approval else State.PENDING,
            reason=reason,
            message=message,
            deadline=deadline,
            now=now,
        ),
        # One Event for each thing that is waited for, however its details change.
        announcement=None if same_reason else Announcement(warning=True, reason=reason.value, message=message),
    )
    return Decision(actions=(write,), look_again=look_again, rests=True)


def _waits_for_approval(session: TaskSession, reason: Reason) -> bool:
    """Whether a person's answer is waited for; trouble that passes does not turn such a wait into a shorter one."""
    if reason in (Reason.API_ERROR, Reason.GUARDS_MISSING):
        return session.status.state is State.AWAITING_APPROVAL
    return reason is Reason.AWAITING_APPROVAL


def _until(session: TaskSession, created: datetime, deadline: datetime | None, *, for_approval: bool) -> datetime:
    not_after = session.spec.not_after
    if for_approval:
        return not_after or created + APPROVAL_LIMIT
    if deadline is not None:
        return deadline
    limit = created + WAITING_LIMIT
    return min(limit, not_after) if not_after else limit


def give_up(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Deny a session that could have been granted only after its own deadline."""
    waited_for = status.reason_of(session.status)
    reason = Reason(waited_for) if waited_for in set(Reason) - {Reason.PENDING} else Reason.DEADLINE_REACHED
    message = "The deadline passed before anything was granted: create a new TaskSession."
    waited_message = status.message_of(session.status)
    if waited_message and reason is not Reason.DEADLINE_REACHED:
        message = f"{message} It waited for: {waited_message}"
    return finish_ungranted(session, observed, Ending(State.DENIED, reason, message), now)
