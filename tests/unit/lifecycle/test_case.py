"""What is remembered of one session: enough never to make an identity twice, and never a way back to lost rights.

A session at which nothing that matters changes is left alone for a while.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tasksession.api.conditions import State
from tasksession.api.partial import is_cut, lean
from tasksession.api.session import TaskSession
from tasksession.lifecycle.case import Attempt, Case, Cases, decides_alike, is_newer, is_ungranted
from tasksession.lifecycle.observed import Progress, Review
from tests.unit import make

UID = make.SESSION_UID
MADE = Progress(identity="ts-1", timer_uid="timer", service_account_uid="account", role_bindings_made=frozenset({"b"}))


@pytest.fixture
def case() -> Case:
    """Nothing is remembered yet."""
    return Case()


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


def test_a_grant_that_failed_never_makes_its_identity_twice(case: Case) -> None:
    """The next attempt knows timer and ServiceAccount; rights it makes once more, since that changes nothing."""
    attempt = case.begin(make.session())
    attempt.progress = MADE
    case.fail(attempt, removed=False)
    following = case.begin(make.session())
    assert following.progress == Progress(identity="ts-1", timer_uid="timer", service_account_uid="account")
    assert case.begin(make.session()).progress == Progress()


def test_an_attempt_that_found_what_is_left_is_not_a_grant(case: Case) -> None:
    """What clears away after an attempt looks again the next time."""
    attempt = case.begin(make.session())
    attempt.progress = replace(MADE, found=())
    case.fail(attempt, removed=False)
    assert case.begin(make.session()).progress == Progress()


def test_what_is_gone_stays_gone(case: Case) -> None:
    """An end that failed goes on where it was."""
    attempt = case.begin(active())
    attempt.progress = Progress(timer_gone=True)
    case.fail(attempt, removed=False)
    assert case.begin(active()).progress == Progress(timer_gone=True)


def test_there_is_no_way_back_from_taking_rights(case: Case) -> None:
    """An attempt that has begun to take rights is taken up as it was, its reason included."""
    attempt = case.begin(active())
    attempt.takes_rights = True
    case.fail(attempt, removed=False)
    assert case.held is attempt
    assert not case.has_taken_rights
    attempt.progress = Progress(role_bindings_gone=True)
    assert case.has_taken_rights
    assert case.resume() is attempt
    assert case.resume() is None


def test_rights_of_a_grant_that_failed_count_until_they_are_gone(case: Case) -> None:
    """A session that is not granted may have rights all the same, and keeps its place in limits."""
    attempt = case.begin(make.session())
    attempt.progress = MADE
    case.leave(attempt, removed=False)
    assert case.left_rights
    attempt.progress = Progress(role_bindings_gone=True)
    case.leave(attempt, removed=False)
    assert not case.left_rights


def test_nothing_is_left_in_mid_grant(case: Case) -> None:
    """Once a session is granted, no attempt at it has left anything."""
    attempt = case.begin(make.session())
    attempt.progress = MADE
    case.leave(attempt, removed=False)
    assert case.reads_job(attempt)
    case.granted()
    assert not case.left_rights
    assert not case.reads_job(attempt)


def test_a_case_is_forgotten_at_once() -> None:
    """One call forgets all of it; a blank one is not kept after a drive."""
    cases = Cases()
    case = cases.open(UID)
    case.held = Attempt(active(), MADE)
    cases.grants(make.session())
    assert cases.held == [case.held]
    assert [session.metadata.uid for session in cases.granting(make.session().spec.policy)] == [UID]
    cases.forget(UID)
    assert cases.find(UID) is None
    assert cases.granting(make.session().spec.policy) == []
    cases.open(UID)
    cases.leave(UID)
    assert cases.find(UID) is None


def test_a_session_counts_as_being_granted_until_its_rights_are_gone() -> None:
    """A drive that left rights keeps the session's place in limits."""
    cases = Cases()
    cases.grants(make.session())
    cases.open(UID).left_rights = True
    cases.leave(UID)
    assert cases.granting(make.session().spec.policy)
    cases.open(UID).left_rights = False
    cases.leave(UID)
    assert cases.granting(make.session().spec.policy) == []


def test_a_session_that_is_gone_leaves_nothing_to_remember(case: Case) -> None:
    """What was made for it is cleared away by its attempt itself."""
    attempt = case.begin(make.session())
    attempt.progress = MADE
    case.leave(attempt, removed=True)
    assert not case.left_rights


def test_a_joined_job_is_read_once_before_a_grant(case: Case) -> None:
    """Its name alone says that it is the one meant: a view of it may be of a dead namesake."""
    attempt = case.begin(joined())
    assert case.reads_job(attempt)
    attempt.job_read = True
    assert not case.reads_job(attempt)
    assert not case.reads_job(case.begin(make.session()))


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


def test_a_session_that_rested_is_left_alone_for_two_seconds(case: Case) -> None:
    """Events that bring nothing new cost nothing; after the pause it is looked at as ever."""
    case.rested("facts", make.NOW, seconds=30.0)
    assert case.pause_left("facts", make.NOW) == 2.0
    assert case.pause_left("other facts", make.NOW) == 0.0
    assert case.pause_left("facts", make.NOW + timedelta(seconds=2)) == 0.0


def test_a_pause_can_be_ended(case: Case) -> None:
    """A place that became free is offered to those that wait for it."""
    case.rested("facts", make.NOW, seconds=30.0)
    case.wake()
    assert case.pause_left("facts", make.NOW) == 0.0


def test_a_pause_ends_with_the_wait(case: Case) -> None:
    """A session whose time is over in half a second is looked at then."""
    case.rested("facts", make.NOW, seconds=0.5)
    assert case.pause_left("facts", make.NOW) == 0.5
    case.rested("facts", make.NOW, seconds=-1.0)
    assert case.pause_left("facts", make.NOW) == 0.0


def test_contention_is_met_with_ever_longer_pauses(case: Case) -> None:
    """Who writes to a session all the time gets it looked at ever more seldom, within a bound."""
    pauses = [case.contended("facts", make.NOW) for _ in range(8)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert case.pause_left("facts", make.NOW) == 8.0
    case.rested("facts", make.NOW, seconds=30.0)
    assert case.contended("facts", make.NOW) == 0.25
