"""Asks `plan` for a decision, and refuses inputs that no cluster shows and decisions that no engine may act on.

Every state-transition test goes through `decide`, so that a test of an impossible situation fails instead of proving
nothing, and so that rules which hold for all decisions need no test of their own.
"""

from datetime import datetime

from tasksession.api import names
from tasksession.api.conditions import ConditionType, State
from tasksession.api.session import TaskSession, TaskSessionStatus
from tasksession.lifecycle import actions
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.observed import Observed
from tasksession.lifecycle.plan import plan

CREATES = (
    actions.CreateJob,
    actions.CreateTimer,
    actions.CreateServiceAccount,
    actions.CreateRole,
    actions.CreateRoleBinding,
)
REMOVES = (actions.FindChildren, actions.DeleteRoleBinding, actions.DeleteTimer)


class Impossible(Exception):
    """An input that the API server, the engine or an earlier decision would never have led to."""


def decide(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Return the decision of `plan`. Raises Impossible for the input, AssertionError for the output."""
    check_input(session, observed, now)
    decision = plan(session, observed, now)
    check_decision(session, observed, decision)
    return decision


def check_input(session: TaskSession, observed: Observed, now: datetime) -> None:
    """Raise Impossible for a situation that cannot come about."""
    for problem, present in (
        ("a session without a uid, a version or a creation time", not _is_stored(session)),
        ("a session from the future", (session.metadata.creation_timestamp or now) > now),
        ("a Job of another namespace", _namespace_of_job(observed, session) != session.metadata.namespace),
        *_problems_of_status(session),
        *_problems_of_observation(session, observed),
    ):
        if present:
            raise Impossible(problem)


def _is_stored(session: TaskSession) -> bool:
    metadata = session.metadata
    return bool(metadata.uid and metadata.resource_version and metadata.creation_timestamp and metadata.generation)


def _namespace_of_job(observed: Observed, session: TaskSession) -> str:
    return observed.job.namespace if observed.job is not None else session.metadata.namespace


def _problems_of_status(session: TaskSession) -> list[tuple[str, bool]]:
    status = session.status
    live = status.state is State.ACTIVE
    granted = status.granted_at is not None
    identity = names.parse_identity(status.service_account_name or "")
    job_uid = status.job_ref.uid if status.job_ref else None
    deadline = int(status.deadline.timestamp()) if status.deadline else None
    return [
        ("a status without its four conditions", {c.type for c in status.conditions} != set(ConditionType)),
        ("a live session that was not granted", live and not granted),
        ("a waiting session that was granted", granted and not live and not status.state.final),
        ("a final state without its end", status.state.final != (status.ended_at is not None)),
        ("an identity without a grant", (identity is not None) != granted),
        ("an identity of another Job", identity is not None and identity.uid != job_uid),
        ("an identity with another deadline", identity is not None and identity.deadline != deadline),
        (
            "a grant under another name",
            any(names.identity_of_binding(g.role_binding) != identity for g in status.grants),
        ),
    ]


def _problems_of_observation(session: TaskSession, observed: Observed) -> list[tuple[str, bool]]:
    live = session.status.state is State.ACTIVE
    review, progress = observed.review, observed.progress
    waiting = not live and not session.status.state.final
    removing = progress.role_bindings_gone or progress.timer_gone
    return [
        ("a missing identity of a session that has none", observed.identity_missing is not None and not live),
        ("a failed review with answers", review is not None and bool(review.failed) and review.verdict is not None),
        ("a re-check of a session that waits", review is not None and review.recheck is not None and waiting),
        ("a ServiceAccount without its timer", bool(progress.service_account_uid) and not progress.timer_uid),
        ("RoleBindings before their subject", bool(progress.role_bindings_made) and not progress.service_account_uid),
        ("removal of what was never looked for", removing and waiting and progress.found is None),
    ]


def check_decision(session: TaskSession, observed: Observed, decision: Decision) -> None:
    """Assert what holds for every decision."""
    made = [action for action in decision.actions if isinstance(action, CREATES)]
    removed = [action for action in decision.actions if isinstance(action, REMOVES)]
    written = [action for action in decision.actions if isinstance(action, actions.WriteStatus)]
    assert not (decision.needs_review and decision.actions), "answers are asked for first, acted on second"
    assert not (made and removed), "nothing is given and taken in one step"
    assert not ((made or removed) and written), "a status is written about what is, not about what is to be"
    assert len(written) <= 1
    if made:
        review = observed.review
        assert review is not None and review.failed is None, "created without an answer"
        assert review.verdict is not None and review.verdict.allowed, "created without a yes"
        assert not observed.guards_missing, "created without guards"
    if observed.removed:
        assert len(removed) == len(decision.actions), "a session that is gone is only cleared away"
    if session.metadata.deletion_timestamp is not None:
        released = [action for action in decision.actions if isinstance(action, actions.ReleaseJob)]
        assert not made and not released, "nothing is given to a session that is being deleted"
    if session.status.state.final:
        assert not made and not written, "a finished session is never written again"
    for action in written:
        assert (action.name, action.uid) == (session.metadata.name, session.metadata.uid)
        assert action.resource_version == session.metadata.resource_version
        check_status(session, action.status)


def check_status(session: TaskSession, status: TaskSessionStatus) -> None:
    """Assert that a status that is to be written can be read by people, kstatus and the next decision."""
    values = {condition.type: condition.status for condition in status.conditions}
    assert set(values) == set(ConditionType)
    assert (values["Granted"] == "True") == (status.state is State.ACTIVE)
    assert len({condition.reason for condition in status.conditions}) == 1
    assert all(condition.message for condition in status.conditions)
    assert all(condition.observed_generation == session.metadata.generation for condition in status.conditions)
    assert kstatus(session, status) == _KSTATUS[status.state]
    assert (status.ended_at is not None) == status.state.final


_KSTATUS = {
    State.PENDING: "InProgress",
    State.AWAITING_APPROVAL: "InProgress",
    State.ACTIVE: "Current",
    State.COMPLETED: "Current",
    State.FAILED: "Failed",
    State.EXPIRED: "Failed",
    State.REVOKED: "Failed",
    State.DENIED: "Failed",
}


def kstatus(session: TaskSession, status: TaskSessionStatus) -> str:
    """Read a status as kstatus does: generation first, then the two abnormal conditions, then Ready."""
    values = {condition.type: condition.status for condition in status.conditions}
    if status.observed_generation != session.metadata.generation or values.get(ConditionType.RECONCILING) == "True":
        return "InProgress"
    if values.get(ConditionType.STALLED) == "True":
        return "Failed"
    return "Current" if values.get(ConditionType.READY) == "True" else "InProgress"
