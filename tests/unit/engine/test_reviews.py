"""What a review looks up, and what it makes of each answer: a missing one is never a yes, and never an end."""

from __future__ import annotations

import pytest

from tasksession.api.conditions import Reason
from tasksession.api.fragment import Fragment
from tasksession.api.session import TaskSession
from tasksession.cluster import paths
from tasksession.cluster.client import Object
from tasksession.cluster.errors import Refused, Unreachable, refusal
from tests.unit import make
from tests.unit.engine.reviewing import POLICY, REVIEW_OF_USE, Scene, policy_object

OWN_RULES = ("POST", paths.collection("SelfSubjectRulesReview"))


async def test_a_session_that_is_allowed_counts_as_being_granted() -> None:
    """Everything is looked up afresh; limits hold among sessions whose grants are under way."""
    scene = Scene(limits={"active": 1})
    review = await scene.reviewer.review(make.session(), live=False)
    assert review.goes_on
    assert {sent.path for sent in scene.client.sent} == {path for _, path in scene.client.answers}
    other = make.session(name="other", uid="other")
    second = await scene.reviewer.review(other, live=False)
    assert second.verdict is not None
    assert [wait.reason for wait in second.verdict.waits] == [Reason.LIMIT_REACHED]
    scene.cases.leave(make.SESSION_UID)
    assert (await scene.reviewer.review(other, live=False)).goes_on


async def test_an_active_session_counts_once() -> None:
    """Reviewed again, it does not stand in its own way."""
    scene = Scene(limits={"active": 1})
    scene.know(make.active(), limits={"active": 1})
    review = await scene.reviewer.review(make.session(), live=False)
    assert review.goes_on


async def test_a_suspended_policy_ends_live_sessions_without_a_request() -> None:
    """Whatever cannot be looked up, such as what the operator may do there, the rights go."""
    scene = Scene()
    scene.know(suspended=True)
    scene.client.answers = dict.fromkeys(scene.client.answers, Unreachable("no answer"))
    review = await scene.reviewer.review(make.active(), live=True)
    assert review.recheck is not None
    assert review.recheck.reason is Reason.POLICY_WITHDRAWN
    assert scene.client.sent == []


async def test_a_policy_that_the_watch_has_not_brought_is_read() -> None:
    """A grant is never made on a view that may be late; what was read is remembered."""
    scene = Scene()
    scene.know()
    scene.client.answers["GET", POLICY] = policy_object(version="6", suspended=True)
    review = await scene.reviewer.review(make.session(), live=False)
    assert not review.goes_on
    assert scene.memory.is_withdrawn("ticket-triage")


@pytest.mark.parametrize("live", [True, False])
async def test_a_policy_that_is_gone(live: bool) -> None:
    """It ends live sessions; one that waits goes on waiting for it."""
    scene = Scene()
    del scene.client.answers["GET", POLICY]
    review = await scene.reviewer.review(make.active() if live else make.session(), live=live)
    assert review.policy is None
    assert (review.recheck is not None and review.recheck.reason is Reason.POLICY_WITHDRAWN) == live


@pytest.mark.parametrize(
    "answer",
    [
        refusal(status=403, reason="Forbidden", message="no", retry_after=None),
        refusal(status=500, reason="InternalError", message="etcd is away", retry_after=None),
        Fragment({"status": {}}, too_large=True),
        {"status": {"allowed": False, "evaluationError": "webhook: connection refused"}},
    ],
    ids=["refused", "fault", "too large", "an authorizer failed"],
)
@pytest.mark.parametrize("live", [True, False])
async def test_an_unusable_answer_is_no_yes_and_no_end(answer: Object | Exception, live: bool) -> None:
    """A look-up that is refused, or whose answer is not read, fails the review and decides nothing."""
    scene = Scene()
    scene.know()
    scene.client.answers["POST", REVIEW_OF_USE] = answer
    review = await scene.reviewer.review(make.active() if live else make.session(), live=live)
    assert review.failed
    assert not review.goes_on
    assert review.recheck is None


@pytest.mark.parametrize(
    "status", [{"allowed": True, "evaluationError": "x"}, {"allowed": False, "denied": True, "evaluationError": "x"}]
)
async def test_an_authorizer_that_failed_beside_an_answer_changes_nothing(status: Object) -> None:
    """What one authorizer has allowed or denied is an answer, whatever became of another."""
    scene = Scene()
    scene.client.answers["POST", REVIEW_OF_USE] = {"status": status}
    review = await scene.reviewer.review(make.session(), live=False)
    assert review.failed is None
    assert review.goes_on == status["allowed"]


async def test_a_policy_that_cannot_be_read_grants_nothing() -> None:
    """One that does not fit the model, as after a downgrade, is no yes."""
    scene = Scene()
    scene.client.answers["GET", POLICY] = {"metadata": {"name": "ticket-triage"}, "spec": {"maxTTL": 5}}
    assert (await scene.reviewer.review(make.session(), live=False)).failed


@pytest.mark.parametrize(
    "error", [Unreachable("no answer"), refusal(status=429, reason="", message="later", retry_after=2.0)]
)
async def test_no_answer_is_raised_for_the_queue(error: Exception) -> None:
    """Also one that says to come back later: it is kept to."""
    scene = Scene()
    scene.client.answers["POST", REVIEW_OF_USE] = error
    scene.know()
    with pytest.raises((Unreachable, Refused)):
        await scene.reviewer.review(make.active(), live=True)


async def test_own_rules_that_are_too_many_to_be_read_are_none() -> None:
    """Who may bind Roles in a namespace decides how long that answer is: it must not keep a re-check from ending."""
    scene = Scene()
    scene.know()
    scene.client.answers[OWN_RULES] = Fragment({"status": {}}, too_large=True)
    review = await scene.reviewer.review(make.active(), live=True)
    assert review.recheck is not None
    assert review.recheck.reason is Reason.POLICY_NARROWED


async def test_a_session_without_a_requester_may_use_nothing() -> None:
    """It was created while nobody was stamped: nobody is asked about."""
    scene = Scene()
    session: TaskSession = make.session()
    nobody = session.model_copy(update={"spec": session.spec.model_copy(update={"requester": None})})
    review = await scene.reviewer.review(nobody, live=False)
    assert not review.goes_on
    assert ("POST", REVIEW_OF_USE) not in {(sent.method, sent.path) for sent in scene.client.sent}


async def test_conditions_are_asked_before_a_grant() -> None:
    """With the session as its author wrote it; a condition that does not hold denies."""
    scene = Scene(conditions=[{"name": "never", "expression": "session.spec.policy == 'other'"}])
    review = await scene.reviewer.review(make.session(), live=False)
    assert review.verdict is not None
    assert any("never" in denial.message for denial in review.verdict.denials)
    await scene.reviewer._evaluator.close()
