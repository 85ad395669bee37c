"""A session, or a Job, too large or too deep to be read: denied with a sentence, ended where it was live."""

from __future__ import annotations

from dataclasses import replace

from tasksession.api.conditions import Reason, State
from tasksession.api.fragment import Fragment
from tasksession.api.partial import session_of
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.asking import attend
from tasksession.lifecycle.observed import Progress
from tasksession.lifecycle.plan import plan
from tests.unit import make

WHY = "it is nested deeper than 100 levels"
GONE = Progress(role_bindings_gone=True, timer_gone=True)


def unreadable(session: TaskSession) -> TaskSession:
    """The session, as it is known when it cannot be read."""
    return session_of(Fragment(session.model_dump(mode="json", by_alias=True, exclude_none=True), too_large=False))


def test_one_that_waits_is_denied_once_nothing_of_it_is_left() -> None:
    """What may exist of it is looked for, whatever its status says, and removed before anything is written."""
    session = unreadable(make.session())
    first = plan(session, make.observed(), make.NOW)
    assert [type(action) for action in first.actions] == [actions.FindChildren]
    then = plan(session, make.observed(progress=Progress(found=make.leftovers())), make.NOW)
    assert {type(action) for action in then.actions} == {actions.DeleteRoleBinding}
    (write,) = plan(session, make.observed(progress=Progress(found=())), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.DENIED)
    assert write.announcement is not None
    assert write.announcement.message == f"This TaskSession is not read, because {WHY}: create a smaller one."
    assert write.forgets_field_managers


def test_one_that_is_live_loses_its_rights_first() -> None:
    """Its status is known: the RoleBindings go, the timer, then the Job is stopped and the status written."""
    session = unreadable(make.active())
    job = make.job(released_as=make.identity(), active_deadline_seconds=600, started=make.NOW)
    first = plan(session, make.observed(job=job), make.NOW)
    assert {type(action) for action in first.actions} == {actions.DeleteRoleBinding}
    assert first.urgent
    stop, write = plan(session, make.observed(job=job, progress=GONE), make.NOW).actions
    assert isinstance(stop, actions.StopJob)
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.REVOKED, Reason.UNREADABLE)


def test_one_whose_status_is_written_elsewhere_rests() -> None:
    """Nothing is tried again and again for it."""
    progress = Progress(found=(), written_elsewhere=True)
    assert plan(unreadable(make.session()), make.observed(progress=progress), make.NOW).actions == ()


def test_nothing_is_granted_to_a_job_that_is_not_read() -> None:
    """Its session is denied, with the Job's problem as the reason."""
    job = replace(make.job(), problem=WHY)
    observed = make.observed(job=job, review=make.allowed(), progress=make.nothing_found())
    (write,) = plan(make.session(), observed, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.INVALID_JOB)


def test_a_running_job_that_is_not_read_any_more_is_stopped() -> None:
    """Its session loses its rights, and the Job is stopped."""
    released = make.job(released_as=make.identity(), active_deadline_seconds=600, started=make.NOW)
    observed = make.observed(job=replace(released, problem=WHY))
    assert {type(action) for action in plan(make.active(), observed, make.NOW).actions} == {actions.DeleteRoleBinding}
    stop, write = plan(make.active(), replace(observed, progress=GONE), make.NOW).actions
    assert isinstance(stop, actions.StopJob)
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.REVOKED, Reason.UNREADABLE)


def test_a_job_that_has_no_session_is_told() -> None:
    """No TaskSession is made for it; an Event says why."""
    for job in (make.annotated_job(), make.joining_job()):
        (tell,) = attend(replace(job, problem=WHY), None).actions
        assert isinstance(tell, actions.TellJob)
        assert tell.announcement.reason == Reason.INVALID_JOB
        assert WHY in tell.announcement.message
