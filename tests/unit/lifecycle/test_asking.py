"""Annotated Jobs: what they ask for becomes a TaskSession, once, and a Job that lost its session is stopped."""

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasksession.api import names
from tasksession.api.conditions import Reason
from tasksession.api.session import TaskSession
from tasksession.lifecycle import actions
from tasksession.lifecycle.asking import Unusable, attend, is_bare, is_unattended, read_access, rejected
from tasksession.lifecycle.decision import NOTHING
from tasksession.lifecycle.observed import ObservedJob, Refusal, RefusalKind
from tests.unit import make

ACCESS = "roles: [{kind: ClusterRole, name: view}]\n"


def asked(job: ObservedJob, refusal: Refusal | None = None) -> dict[str, Any]:
    """The manifest of the TaskSession that is created."""
    [action] = attend(job, None, refusal).actions
    assert isinstance(action, actions.CreateSession)
    return dict(action.manifest)


def told(job: ObservedJob, session: TaskSession | None, refusal: Refusal | None = None) -> actions.Announcement:
    """What the Job is told."""
    [action] = attend(job, session, refusal).actions
    assert isinstance(action, actions.TellJob)
    return action.announcement


def test_an_annotated_job_asks_for_a_session_of_its_name() -> None:
    """The TaskSession is owned by the Job, bears its annotations as its spec, and its stamp as its requester."""
    job = make.annotated_job(annotations={"reason": "CHG-1", "access": ACCESS})
    manifest = asked(job)
    assert manifest["metadata"]["name"] == "triage"
    assert manifest["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "triage", "uid": make.JOB_UID,
         "controller": True, "blockOwnerDeletion": True}
    ]  # fmt: skip
    assert manifest["spec"] == {
        "policy": "ticket-triage",
        "ttl": "10m",
        "reason": "CHG-1",
        "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]},
        "task": {"job": {"name": "triage"}},
        "requester": {"username": "jane", "uid": "", "groups": ["system:authenticated"]},
    }


def test_what_is_not_annotated_is_not_asked_for() -> None:
    """Without ttl, reason and access the policy's defaults count."""
    job = make.annotated_job()
    bare = ObservedJob.from_object(
        {"metadata": {"name": "triage", "annotations": {names.POLICY_ANNOTATION: "p"}}, "spec": {"suspend": True}}
    )
    assert set(asked(bare)["spec"]) == {"policy", "task", "requester"}
    assert set(asked(job)["spec"]) == {"policy", "task", "requester", "ttl"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("roles: [", "is not YAML"),
        ("- a", "is no mapping"),
        ("", "is no mapping"),
        ("a: &x [1]\nb: *x", "has YAML anchors"),
        ("roles: 2026-01-01", "holds what spec.access cannot"),
        ("roles: !!binary aGk=", "has YAML tags"),
        ("roles: !!python/object:os.system x", "has YAML tags"),
        ("roles: !!bool maybe", "has YAML tags"),
        ('roles: !!int ""', "has YAML tags"),
        ('roles: !!float ""', "has YAML tags"),
        ("roles: !!timestamp abc", "has YAML tags"),
        ("roles: !!merge <<", "has YAML tags"),
        ("roles: !custom [a]", "has YAML tags"),
        ("! roles: []", "has YAML tags"),
        ("roles: !<tag:yaml.org,2002:bool> maybe", "has YAML tags"),
        ("%TAG ! tag:yaml.org,2002:\n---\nroles: !bool maybe", "has YAML tags or directives"),
        ("%YAML 1.1\n---\nroles: []", "has YAML tags or directives"),
        ("roles: 2026-99-99", "holds what spec.access cannot"),
        ("roles: 0001-01-01T00:00:00+23:59", "holds what spec.access cannot"),
        ("roles: 0x" + "f" * 5000, "holds what spec.access cannot"),
        ("roles: {<<: 1}", "is not YAML"),
        ("{[a]: b}", "is not YAML"),
        ("? {a: b}\n: c", "is not YAML"),
        ("roles: .nan", "holds what spec.access cannot"),
        ("[" * 8190, "nested too deeply"),
        ("a: " + "{b: " * 20 + "1" + "}" * 20, "nested too deeply"),
        ("x" * 8193, "longer than 8192"),
    ],
)
def test_an_access_that_cannot_be_used_says_why(text: str, words: str) -> None:
    """Broken, hostile and oversized YAML leads to a TaskSession that asks for nothing and says what is wrong."""
    manifest = asked(make.annotated_job(annotations={"access": text}))
    with pytest.raises(Unusable, match=words):
        read_access(text)
    assert words in manifest["metadata"]["annotations"][names.PROBLEM_ANNOTATION]
    assert set(manifest["spec"]) == {"policy", "task", "requester"}


_TOKENS = st.sampled_from(
    ["!!bool", "!!int", "!!float", "!!timestamp", "!!binary", "!!set", "!!omap", "!!python/name:os.system", "!x", "!",
     "<<", "&a", "*a", "[", "]", "{", "}", ",", ":", "?", "-", "---", "...", "|", ">", '"', "'", "#", "\n", " ", "\t",
     "=", "%", "null", "yes", ".inf", "-.inf", ".nan", "0x", "0b", "0o7", "0_", "1__", "1:60", "1e", "2026-11-31",
     "2026-01-01T25:61:61Z", "0000-00-00", "\\x", "\\U00110000", "\\ud800", "\x00", "\ufeff", "\u2028", "roles"]
)  # fmt: skip


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.lists(_TOKENS | st.text(max_size=3), max_size=24).map("".join), st.text(max_size=60)))
@example('roles: !!int ""')
@example("roles: !!bool maybe")
@example("roles: 9999999999-01-01")
def test_whatever_an_author_writes_costs_no_more_than_their_own_session(text: str) -> None:
    """Any text at all is read, or is Unusable with a sentence that fits its annotation: nothing else is raised."""
    try:
        assert isinstance(read_access(text), dict)
    except Unusable as error:
        assert str(error).startswith("tasksession.dev/access")
        assert len(str(error)) <= 1024


def test_what_the_api_server_refuses_is_said_by_the_session() -> None:
    """An unknown field or a bad bound, which the API server names, ends up on the TaskSession."""
    refusal = Refusal(
        RefusalKind.INVALID, "TaskSession", 'strict decoding error: unknown field "spec.access.rules[0].resourceName"'
    )
    manifest = asked(make.annotated_job(), refusal)
    assert is_bare(manifest)
    assert "resourceName" in manifest["metadata"]["annotations"][names.PROBLEM_ANNOTATION]
    [action] = rejected(make.annotated_job(), refusal).actions
    assert isinstance(action, actions.TellJob)
    assert action.announcement.reason == Reason.INVALID_JOB


def test_hostile_nesting_costs_next_to_nothing() -> None:
    """A thousand brackets are not read to their end: the operator looks at many Jobs in one go."""
    started = time.process_time()
    for _ in range(10):
        with pytest.raises(Unusable):
            read_access("[" * 8190)
    assert time.process_time() - started < 0.2


def test_a_job_without_a_session_is_found_without_reading_it() -> None:
    """The sweep asks this of every Job; what the Job asks for is read when it is attended to."""
    assert is_unattended(make.annotated_job(annotations={"access": "["}), None)
    assert is_unattended(make.joining_job(released_as=make.identity()), None)
    assert not is_unattended(make.annotated_job(), make.asked_session())
    assert not is_unattended(make.joining_job(), None)
    assert not is_unattended(make.annotated_job(condition=("Complete", "", make.NOW)), None)


def test_a_refusal_that_does_not_speak_of_the_annotations_is_not_blamed_on_them() -> None:
    """A policy of somebody else's, or a definition of another version: told, and tried again."""
    refusal = Refusal(RefusalKind.INVALID, "TaskSession", "admission webhook denied the request: no")
    assert told(make.annotated_job(), None, refusal).reason == Reason.API_ERROR


def test_both_annotations_on_a_job_ask_for_nothing() -> None:
    """Admission refuses them; a Job that was made while it was away is told, and nothing is created for it."""
    job = make.annotated_job(annotations={"session": "other"})
    assert told(job, None).reason == Reason.INVALID_JOB


@pytest.mark.parametrize(
    ("kind", "reason"), [(RefusalKind.QUOTA, Reason.QUOTA_EXCEEDED), (RefusalKind.FORBIDDEN, Reason.API_ERROR)]
)
def test_what_may_pass_is_told_to_the_job(kind: RefusalKind, reason: Reason) -> None:
    """A quota or a missing right leaves the Job suspended, with an Event that says why."""
    assert told(make.annotated_job(), None, Refusal(kind, "TaskSession", "no room")).reason == reason


def test_a_job_with_its_session_needs_nothing_more() -> None:
    """Its own TaskSession, and one of a dead namesake that is about to go, are waited for."""
    assert attend(make.annotated_job(), make.asked_session()) == NOTHING
    assert attend(make.annotated_job(uid="9" * 8), make.asked_session()) == NOTHING


def test_a_session_of_somebody_else_in_the_way_is_told() -> None:
    """A TaskSession of the Job's name that was made by hand is never taken for the Job's."""
    announcement = told(make.annotated_job(), make.session())
    assert announcement.reason == Reason.JOB_NOT_OURS
    assert "delete it" in announcement.message


@pytest.mark.parametrize(
    "job",
    [
        make.annotated_job(deleting=True),
        make.annotated_job(condition=("Complete", "", make.NOW)),
        make.joining_job(),
        make.job(released_as=make.identity()),
        make.annotated_job(released_as=make.identity(), active_deadline_seconds=1),
    ],
    ids=["being deleted", "over", "joining", "of a jobTemplate", "stopped"],
)
def test_other_jobs_are_left_alone(job: ObservedJob) -> None:
    """Nothing is asked for a Job that is over, that joins a session, or that a TaskSession owns."""
    assert attend(job, None) == NOTHING


@pytest.mark.parametrize("session", [None, make.session(), make.active(uid="9" * 8)], ids=["none", "new", "another's"])
@pytest.mark.parametrize("job", [make.annotated_job, make.joining_job])
def test_a_job_that_ran_gets_no_second_session(job: Any, session: TaskSession | None) -> None:
    """A Job whose session is gone is stopped; whatever stands in that session's place is not its own."""
    running = job(released_as=make.identity(), uid="7" * 8)
    stop = actions.StopJob(namespace=make.NAMESPACE, name=running.name, uid=running.uid)
    assert attend(running, session).actions == (stop,)


def test_a_job_with_a_live_session_is_not_stopped() -> None:
    """The session that a Job was released for keeps it running."""
    assert attend(make.annotated_job(released_as=make.identity()), make.active()) == NOTHING
