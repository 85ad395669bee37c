"""The status of a TaskSession in each of its states, with conditions that kstatus reads correctly.

`plan` calls these builders. `Granted` alone says whether access is live; a finished session is Ready or Stalled,
never in between, so that Git tooling neither waits for ever nor mistakes a fresh object for a finished one.
"""

from datetime import datetime

from tasksession.api.conditions import Condition, Reason, State
from tasksession.api.session import Grant, TaskSession, TaskSessionStatus

_TABLE: dict[State, tuple[str, str, str, str]] = {
    # state: Ready, Stalled, Reconciling, Granted
    State.PENDING: ("Unknown", "False", "True", "False"),
    State.AWAITING_APPROVAL: ("Unknown", "False", "True", "False"),
    State.ACTIVE: ("True", "False", "False", "True"),
    State.COMPLETED: ("True", "False", "False", "False"),
    State.FAILED: ("False", "True", "False", "False"),
    State.EXPIRED: ("False", "True", "False", "False"),
    State.REVOKED: ("False", "True", "False", "False"),
    State.DENIED: ("False", "True", "False", "False"),
}

_MESSAGE_LIMIT = 4096


def shown(message: str) -> str:
    """Cut a message to what a condition may hold."""
    return message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 1] + "…"


def conditions(
    session: TaskSession, *, state: State, reason: Reason, message: str, now: datetime
) -> tuple[Condition, ...]:
    """Build the four conditions of a state; one whose status stays as it was keeps its transition time."""
    before = {condition.type: condition for condition in session.status.conditions}
    text = shown(message)
    result = []
    for kind, status in zip(("Ready", "Stalled", "Reconciling", "Granted"), _TABLE[state], strict=True):
        old = before.get(kind)
        unchanged = old is not None and old.status == status and old.observed_generation is not None
        result.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=text,
                observed_generation=session.metadata.generation,
                last_transition_time=old.last_transition_time if old and unchanged else now.replace(microsecond=0),
            )
        )
    return tuple(result)


def waiting(
    session: TaskSession, *, state: State, reason: Reason, message: str, deadline: datetime | None, now: datetime
) -> TaskSessionStatus:
    """Build the status of a session that waits, in one of the two waiting states, for something that may still come."""
    return session.status.model_copy(
        update={
            "observed_generation": session.metadata.generation,
            "state": state,
            "deadline": deadline,
            "conditions": conditions(session, state=state, reason=reason, message=message, now=now),
        }
    )


def granted(
    session: TaskSession, *, message: str, now: datetime, grants: tuple[Grant, ...], facts: dict[str, object]
) -> TaskSessionStatus:
    """Build the status of a session whose rights are live; `facts` are the other status fields by name."""
    return session.status.model_copy(
        update={
            "observed_generation": session.metadata.generation,
            "state": State.ACTIVE,
            "granted_at": now.replace(microsecond=0),
            "grants": grants,
            "conditions": conditions(session, state=State.ACTIVE, reason=Reason.GRANTED, message=message, now=now),
            **facts,
        }
    )


def ended(session: TaskSession, *, state: State, reason: Reason, message: str, now: datetime) -> TaskSessionStatus:
    """Build the last status of a session: final, and never written again."""
    return session.status.model_copy(
        update={
            "observed_generation": session.metadata.generation,
            "state": state,
            "ended_at": now.replace(microsecond=0),
            "end_reason": reason.value,
            "conditions": conditions(session, state=state, reason=reason, message=message, now=now),
        }
    )


def reason_of(status: TaskSessionStatus) -> str | None:
    """Read the reason that the Ready condition carries, None before the operator's first look."""
    return next((c.reason for c in status.conditions if c.type == "Ready"), None)


def message_of(status: TaskSessionStatus) -> str | None:
    """Read the message that the Ready condition carries, None before the operator's first look."""
    return next((c.message for c in status.conditions if c.type == "Ready"), None)
