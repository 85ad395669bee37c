"""A status that the API server will not store: the record says what it would have said, once."""

from __future__ import annotations

import logging

import pytest

from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.cluster.errors import Unstorable
from tasksession.engine.unstored import Unstored
from tasksession.lifecycle.actions import WriteStatus
from tasksession.lifecycle.observed import STATUS, Refusal, RefusalKind
from tests.unit import make

REFUSAL = Refusal(RefusalKind.INVALID, STATUS, "etcdserver: request is too large")


def write(session: TaskSession, state: State) -> WriteStatus:
    """A status of a state."""
    metadata = session.metadata
    return WriteStatus(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        status=session.status.model_copy(update={"state": state}),
    )


def test_a_last_status_is_recorded_once_and_raised_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """The engine tries it again with its back-off; the record has one entry."""
    unstored, session = Unstored(), make.session()
    action = write(session, State.EXPIRED)
    assert unstored.is_news(action)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with pytest.raises(Unstorable, match="too large"):
                unstored.take(session, action, REFUSAL)
    assert [record.message for record in caplog.records] == ["session ended"]
    assert session.metadata.uid in unstored
    assert not unstored.is_news(action)
    unstored.forget(session.metadata.uid)
    assert session.metadata.uid not in unstored


def test_a_grant_that_cannot_be_stored_is_only_said(caplog: pytest.LogCaptureFixture) -> None:
    """It is taken back by the plan: nothing is over yet."""
    unstored, session = Unstored(), make.session()
    action = write(session, State.ACTIVE)
    assert not unstored.is_news(action)
    with caplog.at_level(logging.INFO):
        unstored.take(session, action, REFUSAL)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert session.metadata.uid not in unstored
