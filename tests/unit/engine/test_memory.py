"""What the operator has seen: newer views win, incarnations are kept apart, and nothing that is gone comes back."""

from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.partial import lean
from tasksession.api.session import TaskSession
from tasksession.engine.memory import Memory
from tasksession.engine.queue import NORMAL
from tasksession.lifecycle.key import key_of
from tests.unit import make

KEY = key_of(make.session())
OTHER_UID = "99999999-2222-3333-4444-555555555555"


def version(session: TaskSession, number: int) -> TaskSession:
    """A view of a session at a version."""
    return make.with_metadata(session, resource_version=str(number))


def policy_object(number: int = 5, uid: str = "policy-uid", **spec: Any) -> dict[str, Any]:
    """A policy as the watch brings it."""
    item = make.policy(**spec).model_dump(mode="json", by_alias=True, exclude_none=True)
    item["metadata"].update({"resourceVersion": str(number), "uid": uid})
    return item


def test_an_older_view_never_replaces_a_newer_one() -> None:
    """A late event about a session or a Job changes nothing, and says so."""
    memory = Memory()
    assert memory.see_session(version(make.active(), 12))
    assert not memory.see_session(version(make.session(), 11))
    assert not memory.see_session(version(make.session(), 12))
    assert memory.session(KEY) == lean(version(make.active(), 12))
    assert memory.see_job(make.job(version=30))
    assert not memory.see_job(make.job(version=29))


def test_versions_are_compared_as_numbers() -> None:
    """Version 100 is newer than version 99."""
    memory = Memory()
    memory.see_session(version(make.session(), 99))
    assert memory.see_session(version(make.active(), 100))


def test_a_session_created_again_buries_the_one_before() -> None:
    """The predecessor is kept to be cleared away; news of its deletion does not touch the new one."""
    memory = Memory()
    old, new = version(make.active(), 12), version(make.session(uid=OTHER_UID), 20)
    memory.see_session(old)
    assert memory.see_session(new)
    assert memory.removed(KEY) == (lean(old),)
    assert not memory.lose_session(version(old, 19))
    assert memory.session(KEY) == new
    memory.cleared(old)
    assert memory.removed(KEY) == ()


def test_two_predecessors_are_both_cleared_away() -> None:
    """A session of the name that came and went while another was being cleared away is not lost sight of."""
    memory = Memory()
    first, second = version(make.active(), 12), version(make.session(uid=OTHER_UID), 20)
    memory.see_session(first)
    assert memory.lose_session(version(first, 13))
    assert memory.lose_session(second)
    assert {gone.metadata.uid for gone in memory.removed(KEY)} == {make.SESSION_UID, OTHER_UID}


@pytest.mark.parametrize("last", ["session", "event"])
def test_the_later_view_of_a_deleted_session_is_kept(last: str) -> None:
    """What was granted is known from whichever view is newer: the memory's or the event's."""
    memory = Memory()
    pending, granted = make.session(), make.active()
    known, event = (granted, pending) if last == "session" else (pending, granted)
    memory.see_session(version(known, 12 if last == "session" else 11))
    memory.lose_session(version(event, 11 if last == "session" else 13))
    [gone] = memory.removed(KEY)
    assert gone.status == granted.status


def test_a_deleted_session_does_not_come_back() -> None:
    """The answer to a write that was overtaken by the news of the deletion does not raise a ghost."""
    memory = Memory()
    memory.see_session(version(make.session(), 11))
    memory.lose_session(version(make.session(), 13))
    assert not memory.see_session(version(make.active(), 12))
    assert memory.session(KEY) is None


def test_a_deletion_is_heard_once() -> None:
    """Told again after all was cleared away, by a watch after a read, it is no news: the end is recorded once."""
    memory = Memory()
    memory.see_session(make.active())
    assert memory.lose_session(make.active())
    memory.cleared(make.active())
    assert not memory.lose_session(version(make.active(), 13))
    assert memory.removed(KEY) == ()


def test_how_a_deleted_job_ended_is_remembered_until_its_session_has_ended() -> None:
    """A Job that completed and was deleted before anybody looked still completes its session."""
    memory = Memory()
    memory.see_session(make.active())
    memory.see_job(make.job(version=30))
    memory.lose_job(make.job(version=31, condition=("Complete", "", make.NOW)))
    job = memory.job_of(make.active())
    assert job is not None
    assert job.end is not None
    assert job.being_deleted
    memory.forget_end(make.active())
    assert memory.job_of(make.active()) is None


def test_ends_that_nobody_waits_for_are_not_collected() -> None:
    """The Job of a finished or unknown session, deleted later, leaves nothing in memory."""
    memory = Memory()
    job = make.job(version=31, condition=("Complete", "", make.NOW))
    memory.lose_job(job)
    assert memory.job_of(make.active()) is None


def test_a_job_without_an_end_is_forgotten() -> None:
    """A Job that was deleted while it ran is none."""
    memory = Memory()
    memory.see_session(make.active())
    memory.see_job(make.job(version=30))
    memory.lose_job(make.job(version=31))
    assert memory.job_of(make.active()) is None


def test_a_deleted_job_does_not_come_back_but_a_relabelled_one_does() -> None:
    """An older answer is refused; a Job that only lost its label is read at the version it was told as deleted at."""
    memory = Memory()
    memory.see_session(make.active())
    memory.lose_job(make.job(version=31))
    assert not memory.see_job(make.job(version=30))
    assert memory.see_job(make.job(version=31))
    assert memory.job_of(make.active()) is not None


def test_a_live_session_takes_no_namesake_of_its_job() -> None:
    """Only the Job that was granted to counts, whatever bears its name now; a fresh session takes the one there is."""
    memory = Memory()
    memory.see_job(make.job(uid=OTHER_UID))
    assert memory.job_of(make.active()) is None
    fresh = memory.job_of(make.session())
    assert fresh is not None
    assert fresh.uid == OTHER_UID


def test_a_job_leads_to_its_session() -> None:
    """By its owner."""
    assert Memory().session_key_of_job(make.job()) == KEY


def test_sessions_whose_rights_have_to_go_come_first() -> None:
    """By deadline: past it, revoked, being deleted, or without a running Job; others in their turn."""
    memory = Memory()
    later = make.NOW + timedelta(hours=1)
    deadline = (make.NOW + timedelta(minutes=10)).timestamp()
    memory.see_session(version(make.active(), 11))
    assert memory.urgency(KEY, make.NOW) == deadline
    memory.see_job(make.job(released_as=make.identity()))
    assert memory.urgency(KEY, make.NOW) == NORMAL
    assert memory.urgency(KEY, later) == deadline
    # Called at its deadline, by a clock that is known to some milliseconds, it must not be taken for one in its turn.
    assert memory.urgency(KEY, make.NOW + timedelta(minutes=10, microseconds=-3000)) == deadline
    memory.see_session(version(make.active(revoked=True), 12))
    assert memory.urgency(KEY, make.NOW) == deadline
    deleting = make.with_metadata(make.active(), deletion_timestamp=make.NOW)
    memory.see_session(version(deleting, 13))
    assert memory.urgency(KEY, make.NOW) == deadline
    memory.lose_session(version(deleting, 14))
    assert memory.urgency(KEY, make.NOW) == deadline


def test_a_deleted_session_that_was_never_granted_comes_after_what_is_overdue() -> None:
    """Whoever creates and deletes sessions all day does not get ahead of those whose rights have to go."""
    memory = Memory()
    memory.see_session(version(make.session(), 11))
    memory.lose_session(version(make.session(), 12))
    assert memory.urgency(KEY, make.NOW) == make.NOW.timestamp()


def test_a_namespace_that_is_being_deleted_is_news_once() -> None:
    """Its sessions are urgent from then on, until the name is free again."""
    memory = Memory()
    ending = {"metadata": {"name": make.NAMESPACE, "deletionTimestamp": make.timestamp(make.NOW)}}
    assert memory.see_namespace(ending, deleted=False)
    assert not memory.see_namespace(ending, deleted=False)
    assert memory.namespace_ends(make.NAMESPACE)
    memory.see_namespace(ending, deleted=True)
    assert not memory.namespace_ends(make.NAMESPACE)


def test_policies_follow_the_newest_view() -> None:
    """Older views and the deletion of a predecessor change nothing; one that cannot be read counts as none."""
    memory = Memory()
    assert memory.see_policy(policy_object(7))
    assert not memory.see_policy(policy_object(6, suspended=True))
    assert not memory.lose_policy(policy_object(6, uid="older"))
    assert tuple(memory.policies()) == ("ticket-triage",)
    assert memory.see_policy({"metadata": {"name": "ticket-triage"}, "spec": {}})
    assert memory.policy("ticket-triage") is None
    memory.see_policy(policy_object(9))
    assert memory.lose_policy(policy_object(10))
    assert not memory.lose_policy(policy_object(10))


def test_the_sessions_of_a_policy_are_those_that_are_not_over() -> None:
    """Tombstones are not counted."""
    memory = Memory()
    memory.see_session(make.active())
    assert [session.metadata.name for session in memory.unfinished.of_policy("ticket-triage")] == ["triage"]
    assert memory.unfinished.of_policy("other") == ()


def test_the_youngest_use_of_a_name_is_remembered() -> None:
    """It outlives the clearing away, and news of an older session does not replace it."""
    memory = Memory()
    assert memory.name_used_at(KEY) is None
    later = make.NOW + timedelta(seconds=5)
    young = make.with_metadata(make.session(), creation_timestamp=later)
    memory.lose_session(young)
    memory.cleared(young)
    memory.lose_session(make.session(uid=OTHER_UID))
    assert memory.name_used_at(KEY) == later


def test_jobs_are_found_by_the_session_they_take_part_in() -> None:
    """By the one that they name, else by their own name; a Job that goes, or joins another, is found no more."""
    memory = Memory()
    joining, annotated = make.joining_job(), make.annotated_job(uid="asking-uid")
    memory.see_job(joining)
    memory.see_job(annotated)
    assert memory.jobs_of(KEY) == (annotated, joining)
    elsewhere = make.joining_job(session="other", version=30)
    memory.see_job(elsewhere)
    assert memory.jobs_of(KEY) == (annotated,)
    assert memory.jobs_of(key_of(make.session(name="other"))) == (elsewhere,)
    memory.lose_job(annotated)
    assert memory.jobs_of(KEY) == ()


def test_a_view_is_matched_by_name_and_uid() -> None:
    """What of a deleted session can still be told apart is enough to find what is known of it."""
    memory = Memory()
    memory.see_session(make.session())
    metadata = {"name": "triage", "namespace": make.NAMESPACE, "uid": make.SESSION_UID}
    found = memory.session_of({"metadata": metadata, "spec": 5})
    assert found is not None
    assert memory.lose_session(found)
    assert memory.session(KEY) is None
    assert memory.session_of({"metadata": {**metadata, "uid": OTHER_UID}}) is None
