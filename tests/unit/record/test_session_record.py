"""The record of a session: who asked, what was granted, under which policy, when and why it ended, and no secret."""

import json

from tasksession.record.session_record import session_record
from tests.unit import make


def test_the_record_of_a_granted_session_is_complete() -> None:
    """Every question about a session has its field, and the whole is one line of JSON."""
    record = session_record(make.active(reason="CHG-1"), removed=True)
    assert record["session"] == "triage"
    assert record["session_uid"] == make.SESSION_UID
    assert record["requester"] == "jane"
    assert (record["policy"], record["policy_uid"], record["policy_generation"]) == ("ticket-triage", "policy-uid", 3)
    assert record["reason"] == "CHG-1"
    assert (record["service_account"], record["service_account_uid"]) == (make.identity(), "service-account-uid")
    assert record["job_uid"] == make.JOB_UID
    assert record["grants"] == [
        {"role": "ClusterRole/view", "role_binding": f"{make.identity()}-0", "rules_hash": "hash-of-view"}
    ]
    assert record["granted_at"] == make.NOW.isoformat()
    assert (record["state"], record["end_reason"]) == ("Removed", "SessionDeleted")
    assert json.loads(json.dumps(record)) == record


def test_inline_rules_are_told_from_roles() -> None:
    """A grant of inline rules has no role to name."""
    session = make.active()
    grant = session.status.grants[0].model_copy(update={"role": None})
    session = make.with_status(session, session.status.model_copy(update={"grants": (grant,)}))
    assert session_record(session, removed=True)["grants"][0]["role"] == "rules"


def test_a_session_that_was_never_granted_has_a_record_too() -> None:
    """What is not known is None; the policy is the one that was asked for."""
    record = session_record(make.session(requester=None), removed=True)
    assert (record["requester"], record["policy"], record["granted_at"]) == (None, "ticket-triage", None)
    assert record["grants"] == []
    assert record["end_message"] is None
