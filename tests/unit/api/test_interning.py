"""Sessions that ask for the same hold it once: thousands of live sessions are kept in memory."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tasksession.api import interning
from tasksession.api.interning import intern, intern_template
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tests.unit import make


def read(**metadata: Any) -> TaskSession:
    """A granted session, as it is read from the API server."""
    item = make.active(access={"roles": [{"kind": "ClusterRole", "name": "view"}]}).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    item["metadata"].update(metadata)
    return TaskSession.model_validate(json.loads(json.dumps(item)))


def test_sessions_that_are_alike_hold_their_parts_once() -> None:
    """Requester, access, template, conditions and policy of two sessions are the same objects."""
    one, other = read(name="a"), read(name="b")
    assert one.spec.requester is other.spec.requester
    assert one.spec.access is other.spec.access
    assert one.spec.task.job_template is other.spec.task.job_template
    assert one.status.policy_ref is other.status.policy_ref
    assert one.status.conditions[0] is other.status.conditions[0]
    assert one.status.grants[0].role is other.status.grants[0].role


def test_what_differs_is_not_shared() -> None:
    """A shared part is equal in every word: another order or type is another value."""
    assert intern("a") == "a"
    assert intern(1) is not intern(True)
    assert isinstance(intern(True), bool)
    assert isinstance(intern(1), int)
    assert not isinstance(intern(1), bool)
    assert intern_template({"spec": {"suspend": True}}) != intern_template({"spec": {"suspend": 1}, "a": 1})
    one, other = intern_template({"spec": {"parallelism": 1}}), intern_template({"spec": {"parallelism": True}})
    assert one is not None
    assert other is not None
    assert (one["spec"]["parallelism"], other["spec"]["parallelism"]) == (1, True)
    assert isinstance(other["spec"]["parallelism"], bool)


def test_what_cannot_be_compared_is_left_alone() -> None:
    """A value that has no hash is returned as it is."""
    value = {"a": 1}
    assert intern(value) is value


def test_the_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different sessions there are, the pool does not grow for ever; sharing goes on."""
    monkeypatch.setattr(interning, "_pool", {})
    for number in range(3 * interning._LIMIT):
        intern(("value", number))
    assert len(interning._pool) <= interning._LIMIT
    assert intern(("again", 1)) is intern(("again", 1))


def test_templates_are_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many templates there are, what is shared of them stays within megabytes; large ones are not shared."""
    monkeypatch.setattr(interning, "_templates", {})
    monkeypatch.setattr(interning, "_text", 0)
    for number in range(2000):
        intern_template({"spec": {"text": f"{number}" + "x" * 8000}})
    assert sum(map(len, interning._templates)) <= interning._TEXT_LIMIT
    before = len(interning._templates)
    large = intern_template({"spec": {"many": [{}] * 1000}})
    assert isinstance(large, interning.LargeTemplate)
    assert len(interning._templates) == before


def test_a_manifest_does_not_change_what_is_shared() -> None:
    """The Job that is built from a template is suspended; the template, which others share, stays as it was."""
    session = read(name="a")
    before = copy.deepcopy(session.spec.task.job_template)
    assert manifests.job(session)["spec"]["suspend"] is True
    assert session.spec.task.job_template == before
