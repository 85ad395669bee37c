"""What one attempt hands to the next: enough never to make an identity twice, and never a way back to lost rights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasksession.api.conditions import State
from tasksession.api.partial import is_cut, lean
from tasksession.api.session import TaskSession
from tasksession.engine.attempts import Attempt, Attempts, decides_alike, is_newer, is_ungranted
from tasksession.lifecycle.observed import Progress, Review
from tests.unit import make

UID = make.SESSION_UID
MADE = Progress(identity="ts-1", timer_uid="timer", service_account_uid="account", role_bindings_made=frozenset({"b"}))


@pytest.fixture
def attempts() -> Attempts:
    """No attempt yet."""
    return Attempts()


def active() -> TaskSession:
    """A session whose rights are live."""
    session = make.session()
    return session.model_copy(update={"status": session.status.model_copy(update={"state": State.ACTIVE})})


def joined() -> TaskSession:
    """A session that a Job joins."""
    return make.session(task={"job": {"name": "triage"}})


def at_version(version: str) -> TaskSession:
    """A view of a session with a resourceVersion."""
    session = make.session()
    return session.model_copy(update={"metadata": session.metadata.model_copy(update={"resource_version": version})})


def test_a_grant_that_failed_never_makes_its_identity_twice(attempts: Attempts) -> None:
    """The next attempt knows timer and ServiceAccount; rights it makes once more, since that changes nothing."""
    attempt = attempts.begin(make.session())
    attempt.progress = MADE
    attempts.fail(attempt, removed=False)
    following = attempts.begin(make.session())
    assert following.progress == Progress(identity="ts-1", timer_uid="timer", service_account_uid="account")
    assert attempts.begin(make.session()).progress == Progress()


def test_an_attempt_that_found_what_is_left_is_not_a_grant(attempts: Attempts) -> None:
    """What clears away after an attempt looks again the next time."""
    attempt = attempts.begin(make.session())
    attempt.progress = replace(MADE, found=())
    attempts.fail(attempt, removed=False)
    assert attempts.begin(make.session()).progress == Progress()


def test_what_is_gone_stays_gone(attempts: Attempts) -> None:
    """An end that failed goes on where it was."""
    attempt = attempts.begin(active())
    attempt.progress = Progress(timer_gone=True)
    attempts.fail(attempt, removed=False)
    assert attempts.begin(active()).progress == Progress(timer_gone=True)


def test_there_is_no_way_back_from_taking_rights(attempts: Attempts) -> None:
    """An attempt that has begun to take rights is taken up as it was, its reason included."""
    attempt = attempts.begin(active())
    attempt.takes_rights = True
    attempts.fail(attempt, removed=False)
    assert attempts.held == [attempt]
    assert attempts.holds(UID)
    assert not attempts.took_rights(UID)
    attempt.progress = Progress(role_bindings_gone=True)
    assert attempts.took_rights(UID)
    assert attempts.resume(UID) is attempt
    assert attempts.resume(UID) is None


def test_rights_of_a_grant_that_failed_count_until_they_are_gone(attempts: Attempts) -> None:
    """A session that is not granted may have rights all the same, and keeps its place in limits."""
    attempt = attempts.begin(make.session())
    attempt.progress = MADE
    attempts.leave(attempt, removed=False)
    assert attempts.left_rights(UID)
    attempt.progress = Progress(role_bindings_gone=True)
    attempts.leave(attempt, removed=False)
    assert not attempts.left_rights(UID)


@pytest.mark.parametrize("end", ["granted", "forgotten"])
def test_nothing_is_left_in_mid_grant(attempts: Attempts, end: str) -> None:
    """Once a session is granted, or over, its attempts are forgotten."""
    attempt = attempts.begin(make.session())
    attempt.progress = MADE
    attempts.leave(attempt, removed=False)
    assert attempts.reads_job(attempt)
    if end == "granted":
        attempts.granted(UID)
    else:
        attempts.hold(attempt)
        attempts.forget(UID)
    assert not attempts.left_rights(UID)
    assert not attempts.reads_job(attempt)
    assert not attempts.holds(UID)


def test_a_session_that_is_gone_leaves_nothing_to_remember(attempts: Attempts) -> None:
    """What was made for it is cleared away by its attempt itself."""
    attempt = attempts.begin(make.session())
    attempt.progress = MADE
    attempts.leave(attempt, removed=True)
    assert not attempts.left_rights(UID)


def test_a_joined_job_is_read_once_before_a_grant(attempts: Attempts) -> None:
    """Its name alone says that it is the one meant: a view of it may be of a dead namesake."""
    attempt = attempts.begin(joined())
    assert attempts.reads_job(attempt)
    attempt.job_read = True
    assert not attempts.reads_job(attempt)
    assert not attempts.reads_job(attempts.begin(make.session()))


def test_only_what_is_neither_active_nor_over_is_ungranted() -> None:
    """A session waits for its grant until it has it."""
    assert is_ungranted(make.session())
    assert not is_ungranted(active())


@pytest.mark.parametrize(
    ("one", "other", "newer"), [("11", "10", True), ("9", "10", False), ("10", "10", False), ("x", "10", False)]
)
def test_versions_are_compared_as_numbers(one: str, other: str, newer: bool) -> None:
    """One that is no number is taken for the oldest, and raises nothing."""
    assert is_newer(at_version(one), at_version(other)) is newer


def test_labels_decide_nothing() -> None:
    """Two views that differ in labels and version decide alike; another status, or another object, does not."""
    session = make.session()
    labelled = session.model_copy(
        update={"metadata": session.metadata.model_copy(update={"labels": {"a": "b"}, "resource_version": "11"})}
    )
    assert decides_alike(session, labelled)
    assert not decides_alike(session, active())
    assert not decides_alike(session, make.session(uid="22222222-2222-3333-4444-555555555555"))


def large(version: str, **metadata: object) -> TaskSession:
    """A view of a session with a template that is not kept for as long as it waits."""
    template = {"spec": {"template": {"spec": {"note": "x" * 20_000}}}}
    session = make.session(task={"jobTemplate": template})
    return make.with_metadata(session, resource_version=version, **metadata)


def test_what_was_judged_whole_is_not_judged_again_for_a_label() -> None:
    """A part of the session that decides alike brings its version only: with it the next write is no conflict."""
    whole = large("10")
    attempt = Attempt(whole, Progress())
    attempt.review = Review()
    attempt.take(lean(large("11", labels={"touched": "often"})))
    assert attempt.review is not None
    assert not is_cut(attempt.session)
    assert attempt.session.spec == whole.spec
    assert attempt.session.metadata.resource_version == "11"


def test_a_part_that_decides_otherwise_is_judged_again() -> None:
    """Where the spec has changed, all of it is read again."""
    attempt = Attempt(large("10"), Progress())
    attempt.review = Review()
    attempt.take(lean(large("11", generation=2)))
    assert is_cut(attempt.session)
    assert attempt.review is None
