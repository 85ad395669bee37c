"""The state machine finds mistakes: each broken `plan` here violates an invariant before long.

A mutant changes what `plan` sees or decides, as a slip in the code would. A plan that ignores the deadline is not
among them: timer and Job controller end such a session all the same, which is what they are for.
Mistakes that take longer to find are tried where TASKSESSION_SCHEDULES asks for a thousand schedules or more.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tasksession.api.conditions import State
from tasksession.api.session import INITIAL_STATUS, TaskSession, TaskSessionStatus
from tasksession.lifecycle import actions
from tasksession.lifecycle.asking import attend
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.drive import Plan, Unsettled
from tasksession.lifecycle.job_requests import Attend
from tasksession.lifecycle.observed import Observed, ObservedJob, Refusal, Review
from tasksession.lifecycle.plan import plan
from tasksession.lifecycle.task_job import is_joined
from tasksession.policy.evaluation import Verdict
from tests.unit import make
from tests.unit.lifecycle.test_state_machine import ASKED, SCHEDULES, SETTINGS, Lives


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


def _joins_anybodys_job(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Lets a Job of another requester join."""
    if observed.job is not None and is_joined(session) and session.spec.requester is not None:
        requester = session.spec.requester
        job = replace(observed.job, requested_by=requester.username, requested_by_uid=requester.uid)
        return plan(session, replace(observed, job=job), now)
    return plan(session, observed, now)


def _grants_a_job_twice(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Takes a Job that ran for one that never did."""
    if observed.job is not None and session.status.state is State.PENDING:
        return plan(session, replace(observed, job=_never_started(observed.job)), now)
    return plan(session, observed, now)


def _adopts_a_squatter(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Takes somebody's TaskSession for the one that an annotated Job asked for."""
    job = observed.job
    if job is not None and job.asks is not None and is_joined(session):
        return plan(session, replace(observed, job=replace(job, session=session.metadata.name, asks=None)), now)
    return plan(session, observed, now)


def _hangs_joined_rights_on_nothing(session: TaskSession, observed: Observed, now: datetime) -> Decision:
    """Gives the RoleBindings of a joined Job no owner."""
    decision = plan(session, observed, now)
    if not is_joined(session):
        return decision
    changed: list[actions.Action] = []
    for action in decision.actions:
        if isinstance(action, actions.CreateRoleBinding):
            metadata = {**action.manifest["metadata"], "ownerReferences": []}
            changed.append(actions.CreateRoleBinding(manifest={**action.manifest, "metadata": metadata}))
        else:
            changed.append(action)
    return replace(decision, actions=tuple(changed))


def _asks_again(job: ObservedJob, session: TaskSession | None, refusal: Refusal | None) -> Decision:
    """Asks for a second session for a Job that ran."""
    return attend(_never_started(job), session, refusal)


def _never_stops(job: ObservedJob, session: TaskSession | None, refusal: Refusal | None) -> Decision:
    """Lets a Job run on whose session is no more."""
    return Decision() if job.service_account is not None else attend(job, session, refusal)


def _never_started(job: ObservedJob) -> ObservedJob:
    return replace(job, suspended=True, service_account=None)


SEARCH = settings(SETTINGS, max_examples=4000, phases=[Phase.generate], database=None, derandomize=True)
QUICKLY_FOUND = [_grants_again, _keeps_role_bindings, _keeps_the_timer, _ignores_denials]
FOUND = [
    _ignores_rechecks,
    _grants_unanswered,
    _ignores_guards,
    _forgets_what_an_attempt_left,
]


@pytest.mark.parametrize("mutant", QUICKLY_FOUND + (FOUND if SCHEDULES >= 1000 else []))
def test_a_broken_plan_is_caught(mutant: Plan) -> None:
    """Each of these mistakes in `plan` breaks an invariant within some hundred schedules, mostly."""

    class Broken(Lives):
        """Lives under a plan with a mistake in it."""

        plan = staticmethod(mutant)

    # The loop itself creates nothing without guards: a plan that will never comes to rest.
    with pytest.raises((AssertionError, KeyError, Unsettled)):
        run_state_machine_as_test(Broken, settings=SEARCH)


def _bobs_job_joins_janes_session(life: Lives) -> None:
    life.create_joined_session("alpha", "work", "jane", "10m")
    life.create_joining_job("work", "alpha", "bob")
    life.work_in_peace()


def _a_session_comes_back_for_a_job_that_ran(life: Lives) -> None:
    life.create_joined_session("alpha", "work", "jane", "10m")
    life.create_joining_job("work", "alpha", "jane")
    life.work_in_peace()
    life.delete("alpha")
    life.world.collect()
    life.work_in_peace()
    life.pass_time(1)
    life.create_joined_session("alpha", "work", "jane", "10m")
    life.work_in_peace()


def _a_session_stands_where_a_job_asks(life: Lives) -> None:
    life.create_joined_session("alpha", "alpha", "jane", "10m")
    life.create_annotated_job("alpha", ASKED[0], "jane", None)
    life.work_in_peace()


def _a_joined_session_is_deleted_and_nobody_works(life: Lives) -> None:
    life.create_joined_session("alpha", "work", "jane", "10m")
    life.create_joining_job("work", "alpha", "jane")
    life.work_in_peace()
    life.delete("alpha")
    life.rights_belong_to_living_sessions()


#: Random lives come to these so seldom that each has the life in which it does harm.
DIRECTED = [
    (_joins_anybodys_job, _bobs_job_joins_janes_session),
    (_grants_a_job_twice, _a_session_comes_back_for_a_job_that_ran),
    (_adopts_a_squatter, _a_session_stands_where_a_job_asks),
    (_hangs_joined_rights_on_nothing, _a_joined_session_is_deleted_and_nobody_works),
]


@pytest.mark.parametrize(("mutant", "steps"), DIRECTED)
def test_a_broken_plan_is_caught_in_its_life(mutant: Plan, steps: Callable[[Lives], None]) -> None:
    """Each of these mistakes in `plan` breaks an invariant in a life of a few steps, which a right plan lives well."""

    class Broken(Lives):
        """Lives under a plan with a mistake in it."""

        plan = staticmethod(mutant)

    def live(life: Lives) -> None:
        steps(life)
        life.settle()

    live(Lives())
    with pytest.raises((AssertionError, KeyError)):
        live(Broken())


@pytest.mark.parametrize("mutant", [_asks_again, _never_stops])
def test_a_job_attended_wrongly_is_caught(mutant: Attend) -> None:
    """Each of these mistakes in `attend` breaks an invariant once the TaskSession of a running Job is deleted."""

    class Broken(Lives):
        """Lives in which Jobs are attended with a mistake."""

        asking = staticmethod(mutant)

    life = Broken()
    life.create_annotated_job("alpha", ASKED[0], "jane", None)
    life.work_in_peace()
    life.delete("alpha")
    life.pass_time(1)
    with pytest.raises(AssertionError, match=r"asked again for a Job that ran|runs on without a session"):
        life.settle()
