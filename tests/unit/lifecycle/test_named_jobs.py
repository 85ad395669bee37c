"""Sessions whose Job was created by somebody else: annotated Jobs, and Jobs that join."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tasksession.api import names
from tasksession.api.conditions import Reason, State
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.observed import ObservedJob, Progress, Refusal, RefusalKind
from tests.unit import make
from tests.unit.lifecycle.consistency import decide

OTHER_UID = "99999999-bbbb-cccc-dddd-eeeeeeeeeeee"


def joined() -> TaskSession:
    """A TaskSession that waits for a Job to join."""
    return make.session(task={"job": {"name": "work"}})


def written(session: TaskSession, job: ObservedJob | None) -> actions.WriteStatus:
    """The status that is written at once, nothing having been found to clear away."""
    observed = make.observed(review=make.allowed(), job=job, progress=Progress(found=()))
    [action] = decide(session, observed, make.NOW).actions
    assert isinstance(action, actions.WriteStatus)
    return action


def owners(session: TaskSession, job: ObservedJob, progress: Progress) -> list[str]:
    """Kind and uid of the owners of what is created next."""
    observed = make.observed(review=make.allowed(), job=job, progress=progress)
    created: Any = decide(session, observed, make.NOW).actions
    references = [each for action in created for each in action.manifest["metadata"]["ownerReferences"]]
    return [f"{each['kind']}/{each['uid']}" for each in references]


@pytest.mark.parametrize(
    ("session", "job", "chain"),
    [
        (make.session(), make.job(), ["Job/" + make.JOB_UID, "Job/timer-uid", "Job/timer-uid"]),
        (
            make.asked_session(),
            make.annotated_job(),
            ["TaskSession/" + make.SESSION_UID, "Job/timer-uid", "Job/timer-uid"],
        ),
        (
            joined(),
            make.joining_job(),
            ["TaskSession/" + make.SESSION_UID, "Job/timer-uid", "Job/timer-uid"],
        ),
    ],
    ids=["jobTemplate", "annotated", "joined"],
)
def test_any_link_that_goes_takes_all_below(session: TaskSession, job: ObservedJob, chain: list[str]) -> None:
    """Timer, ServiceAccount and RoleBinding hang on what is their owner for each kind of task."""
    found = owners(session, job, Progress())
    found += owners(session, job, make.timer_made())
    found += owners(session, job, make.made(bindings=False))
    assert found == chain


def test_a_session_waits_for_the_job_that_is_to_join() -> None:
    """Either of the two may come first; what is missing is said, with what to write."""
    write = written(joined(), None)
    assert write.status.state is State.PENDING
    assert "tasksession.dev/session: triage" in write.status.conditions[0].message
    assert {c.reason for c in write.status.conditions} == {Reason.JOB_NOT_FOUND}
    assert written(joined(), make.joining_job(deleting=True)).status.state is State.PENDING


def test_a_session_whose_own_job_is_gone_has_failed() -> None:
    """The TaskSession of an annotated Job goes with it; until then it says so."""
    for job in (None, make.annotated_job(uid=OTHER_UID)):
        assert written(make.asked_session(), job).status.end_reason == Reason.JOB_DELETED


@pytest.mark.parametrize(
    ("session", "job", "words"),
    [
        (joined(), make.joining_job(requested_by="bob"), "created by bob"),
        (joined(), make.joining_job(session="other"), "does not belong to this session"),
        (joined(), make.annotated_job(name="work"), "does not belong to this session"),
        (joined(), make.job(name="work"), "does not belong to this session"),
        (make.asked_session(), make.annotated_job(requested_by="bob"), "not the one"),
        (make.asked_session(policy="other"), make.annotated_job(), "not the one"),
    ],
)
def test_a_job_of_somebody_else_is_never_run_as_the_session(session: TaskSession, job: ObservedJob, words: str) -> None:
    """Another requester, another session's Job, another policy: denied, and the Job is left alone."""
    write = written(session, job)
    assert (write.status.state, write.status.end_reason) == (State.DENIED, Reason.JOB_NOT_OURS)
    assert words in write.status.conditions[0].message


@pytest.mark.parametrize(
    ("session", "job"),
    [(make.asked_session, make.annotated_job), (joined, make.joining_job)],
    ids=["annotated", "joined"],
)
def test_a_job_runs_in_one_session_only(session: Any, job: Any) -> None:
    """A Job that was started before, whoever started it, is denied."""
    write = written(session(), job(released_as=make.identity()))
    assert write.status.end_reason == Reason.INVALID_JOB
    assert "started before" in write.status.conditions[0].message


def test_annotations_that_cannot_be_used_deny_the_session() -> None:
    """What was wrong with the Job's annotations is what the session says, before anything is looked up."""
    session = make.asked_session(annotations={names.PROBLEM_ANNOTATION: "access is not YAML"})
    observed = make.observed(job=make.annotated_job(), progress=Progress(found=()))
    [write] = decide(session, observed, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert write.status.end_reason == Reason.INVALID_JOB
    assert "access is not YAML" in write.status.conditions[0].message


def test_the_problem_annotation_means_nothing_on_other_sessions() -> None:
    """A requester who writes it onto a TaskSession of their own changes nothing."""
    session = make.with_metadata(make.session(), annotations={names.PROBLEM_ANNOTATION: "x"})
    assert decide(session, make.observed(), make.NOW).needs_review


@pytest.mark.parametrize(("seconds", "denied"), [(600, False), (601, True)])
def test_an_authors_own_deadline_must_fit(seconds: int, denied: bool) -> None:
    """activeDeadlineSeconds of the author must end before the session does."""
    job = make.annotated_job(active_deadline_seconds=seconds)
    observed = make.observed(review=make.allowed(), job=job, progress=Progress(found=()))
    [action] = decide(make.asked_session(), observed, make.NOW).actions
    assert isinstance(action, actions.WriteStatus) is denied


@pytest.mark.parametrize(("authored", "written"), [(None, 600), (60, None)])
def test_an_authors_own_deadline_stays_at_release(authored: int | None, written: int | None) -> None:
    """So the manifest can be applied again; where there is none, the session's deadline is set."""
    session = make.asked_session()
    live = make.with_status(session, make.active().status)
    [release] = decide(live, make.observed(job=make.annotated_job(active_deadline_seconds=authored)), make.NOW).actions
    assert isinstance(release, actions.ReleaseJob)
    assert release.active_deadline_seconds == written


@pytest.mark.parametrize(
    ("session", "job", "since"),
    [
        (make.session(), None, make.NOW),
        (
            make.asked_session(),
            make.annotated_job(created=make.NOW - timedelta(hours=1)),
            make.NOW - timedelta(minutes=1),
        ),
        (joined(), make.joining_job(created=make.NOW - timedelta(hours=1)), make.NOW - timedelta(minutes=1)),
    ],
    ids=["the session itself", "its annotated Job", "the Job that joins"],
)
def test_who_asked_before_the_guards_were_there_is_not_believed(
    session: TaskSession, job: ObservedJob | None, since: datetime
) -> None:
    """A stamp that anybody could have written, while no guard was in force, grants nothing once they are back."""
    observed = make.observed(review=make.allowed(), job=job, progress=Progress(found=()), stamped_since=since)
    [write] = decide(session, observed, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert write.status.state is State.DENIED
    assert "create it again" in write.status.conditions[0].message


def test_nothing_is_granted_where_the_age_of_the_guards_is_not_known() -> None:
    """What cannot be told is no yes: the session waits, and says for what."""
    [write] = decide(make.session(), make.observed(review=make.allowed(), stamped_since=None), make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert {condition.reason for condition in write.status.conditions} == {Reason.GUARDS_MISSING}


def test_a_release_waits_for_the_guards() -> None:
    """Without them its pods would not run as the session: the Job stays suspended until they are back."""
    observed = make.observed(job=make.job(), guards_missing=("tasksession-pod-identity: it is not installed",))
    decision = decide(make.active(), observed, make.NOW)
    assert decision.actions == ()
    assert decision.look_again == make.NOW + timedelta(seconds=2)


def test_a_late_release_ends_with_the_session_all_the_same() -> None:
    """An author's deadline that would now go beyond the session's is shortened to it."""
    observed = make.observed(job=make.job(active_deadline_seconds=500))
    [release] = decide(make.active(), observed, make.NOW + timedelta(minutes=5)).actions
    assert isinstance(release, actions.ReleaseJob)
    assert release.active_deadline_seconds == 300


def test_a_job_that_cannot_be_released_ends_its_session() -> None:
    """Something else in the cluster refuses the release: the rights go, and the status says whose words they were."""
    refusal = Refusal(RefusalKind.INVALID, "Job", "policy add-labels: no")
    observed = make.observed(job=make.job(), refusal=refusal)
    assert decide(make.active(), observed, make.NOW).urgent
    gone = make.observed(job=make.job(), refusal=refusal, progress=Progress(role_bindings_gone=True, timer_gone=True))
    [write] = decide(make.active(), gone, make.NOW).actions
    assert isinstance(write, actions.WriteStatus)
    assert (write.status.state, write.status.end_reason) == (State.FAILED, Reason.JOB_FAILED)
    assert "add-labels" in write.status.conditions[0].message
