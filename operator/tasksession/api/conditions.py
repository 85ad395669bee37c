"""The words of a session's status: states, reasons and conditions.

Written by the lifecycle, read by columns, kstatus, Flux, Argo CD and people. A reason is part of the API: it may be
added to, and must never change its meaning.
"""

import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator

from tasksession.api.model import KubernetesModel, Timestamp, schema

#: What a condition's reason may look like, as in Kubernetes' own condition type.
REASON_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


ConditionStatus = Literal["True", "False", "Unknown"]
#: All sessions say the same few things: each text is held once.
_Text = Annotated[str, AfterValidator(sys.intern)]


class State(StrEnum):
    """The state of a session in one word, derived from its conditions."""

    PENDING = "Pending"
    AWAITING_APPROVAL = "AwaitingApproval"
    ACTIVE = "Active"
    COMPLETED = "Completed"
    FAILED = "Failed"
    EXPIRED = "Expired"
    REVOKED = "Revoked"
    DENIED = "Denied"

    @property
    def final(self) -> bool:
        """Whether the session is over: a final state is never left."""
        return self not in (State.PENDING, State.AWAITING_APPROVAL, State.ACTIVE)


class Reason(StrEnum):
    """Why a session is in its state."""

    # Waiting: what it waits for.
    PENDING = "Pending"
    POLICY_NOT_FOUND = "PolicyNotFound"
    LIMIT_REACHED = "LimitReached"
    JOB_NOT_FOUND = "JobNotFound"
    QUOTA_EXCEEDED = "QuotaExceeded"
    AWAITING_APPROVAL = "AwaitingApproval"
    GUARDS_MISSING = "GuardsMissing"
    API_ERROR = "APIError"
    # Active.
    GRANTED = "Granted"
    # Ended.
    COMPLETED = "Completed"
    EXPIRED = "Expired"
    REVOKED = "Revoked"
    JOB_FAILED = "JobFailed"
    DEADLINE_REACHED = "DeadlineReached"
    POLICY_WITHDRAWN = "PolicyWithdrawn"
    POLICY_NARROWED = "PolicyNarrowed"
    USE_LOST = "UseLost"
    ROLE_CHANGED = "RoleChanged"
    JOB_DELETED = "JobDeleted"
    IDENTITY_REMOVED = "IdentityRemoved"
    SESSION_DELETED = "SessionDeleted"
    UNREADABLE = "Unreadable"
    # Denied.
    DENIED = "Denied"
    JOB_NOT_OURS = "JobNotOurs"
    INVALID_JOB = "InvalidJob"


class ConditionType(StrEnum):
    """The conditions of a TaskSession."""

    READY = "Ready"
    STALLED = "Stalled"
    RECONCILING = "Reconciling"
    GRANTED = "Granted"


class Condition(KubernetesModel):
    """One aspect of the current state, in the form that Kubernetes' tools understand."""

    type: Annotated[_Text, schema(minLength=1, maxLength=316, pattern=r"^[A-Za-z]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")]
    """Ready, Stalled, Reconciling or Granted. Granted alone says whether access is live now."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[_Text, schema(maxLength=1024, pattern=REASON_PATTERN)]
    """Why, in one word."""
    message: Annotated[_Text, schema(maxLength=32768)] = ""
    """Why, in one sentence: the cause first, the next step second."""
    observed_generation: Annotated[int | None, schema(minimum=0)] = None
    """The metadata.generation that this was computed from."""
    last_transition_time: Timestamp
    """When the status last changed."""


def find_condition(conditions: Iterable[Condition], wanted: ConditionType) -> Condition | None:
    """Find the condition of a type; None where it was never written."""
    return next((condition for condition in conditions if condition.type == wanted), None)
