"""The state machine finds mistakes: each broken `plan` here violates an invariant before long.

A mutant changes what `plan` sees or decides, as a slip in the code would. A plan that ignores the deadline is not
among them: timer and Job controller end such a session all the same, which is what they are for.
Mistakes that take longer to find are tried where TASKSESSION_SCHEDULES asks for a thousand schedules or more.
"""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tasksession.api.conditions import State
from tasksession.api.session import INITIAL_STATUS, TaskSession, TaskSessionStatus
from tasksession.lifecycle import actions
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.observed import Observed, Review
from tasksession.lifecycle.plan import plan
from tasksession.policy.evaluation import Verdict
from tests.unit import make
from tests.unit.lifecycle.operator_model import Plan
from tests.unit.lifecycle.test_state_machine import SCHEDULES, SETTINGS, Lives


def _keeps_role_bindings(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Ends without taking the rights."""
    decision = plan(session, observed, now)
    if any(isinstance(action, actions.DeleteRoleBinding) for action in decision.actions):
        gone = replace(observed, progress=replace(observed.progress, role_bindings_gone=True))
        return plan(session, gone, now)
    return decision


def _keeps_the_timer(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Ends without deleting the timer."""
    decision = plan(session, observed, now)
    if any(isinstance(action, actions.DeleteTimer) for action in decision.actions):
        return plan(session, replace(observed, progress=replace(observed.progress, timer_gone=True)), now)
    return decision


def _grants_unanswered(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Takes a look-up that failed for a yes."""
    if observed.review is not None and observed.review.failed and session.status.state is State.PENDING:
        hashes = {make.VIEW: "hash", make.VIEW.model_copy(update={"name": "edit"}): "hash", None: "hash"}
        verdict = Verdict(denials=(), waits=(), rules_hashes=hashes)
        return plan(session, replace(observed, review=Review(policy=make.policy(), verdict=verdict)), now)
    return plan(session, observed, now)


def _ignores_denials(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Grants what policy said no to."""
    if observed.review is not None and observed.review.verdict is not None and observed.review.verdict.denials:
        hashes = {make.VIEW: "hash", make.VIEW.model_copy(update={"name": "edit"}): "hash", None: "hash"}
        verdict = Verdict(denials=(), waits=(), rules_hashes=hashes)
        return plan(session, replace(observed, review=replace(observed.review, verdict=verdict)), now)
    return plan(session, observed, now)


def _ignores_guards(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Grants while guards are missing."""
    return plan(session, replace(observed, guards_missing=()), now)


def _ignores_rechecks(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Lets a session live on though policy says no."""
    live = session.status.state is State.ACTIVE
    return plan(session, replace(observed, review=None, recheck_due=False) if live else observed, now)


def _forgets_what_an_attempt_left(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Ends a session that was not granted without looking for what there is."""
    decision = plan(session, observed, now)
    if any(isinstance(action, actions.FindChildren) for action in decision.actions):
        return plan(session, replace(observed, progress=replace(observed.progress, found=())), now)
    return decision


def _grants_again(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Takes a tombstone for a fresh session."""
    if session.status.state.final:
        fresh = TaskSessionStatus.model_validate(INITIAL_STATUS)
        return plan(session.model_copy(update={"status": fresh}), observed, now)
    return plan(session, observed, now)


QUICKLY_FOUND = [_grants_again, _keeps_role_bindings, _keeps_the_timer, _ignores_denials]
FOUND = [_ignores_rechecks, _grants_unanswered, _ignores_guards, _forgets_what_an_attempt_left]


@pytest.mark.parametrize("mutant", QUICKLY_FOUND + (FOUND if SCHEDULES >= 1000 else []))
def test_a_broken_plan_is_caught(mutant: Plan) -> None:
    """Each of these mistakes in `plan` breaks an invariant within some hundred schedules, mostly."""

    class Broken(Lives):
        """Lives under a plan with a mistake in it."""

        plan = staticmethod(mutant)

    search = settings(SETTINGS, max_examples=4000, phases=[Phase.generate], database=None, derandomize=True)
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Broken, settings=search)
