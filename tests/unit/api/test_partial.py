"""What memory holds of a session is small whatever its author wrote, and enough for the decisions made on it."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from tasksession.api.conditions import State
from tasksession.api.fragment import LARGEST, Fragment
from tasksession.api.interning import LargeTemplate
from tasksession.api.partial import is_cut, lean, problem_with, session_of
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.plan import is_tracked
from tasksession.lifecycle.task_job import job_name
from tests.unit import make

FLOOD: dict[str, Any] = {"x": [{}] * 60_000, "activeDeadlineSeconds": 7}


def stored(session: TaskSession, *, template: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A session as the API server sends it, with another template."""
    item = session.model_dump(mode="json", by_alias=True, exclude_none=True)
    item["metadata"].update(metadata)
    if template is not None:
        item["spec"]["task"] = {"jobTemplate": {"spec": template}}
    found: dict[str, Any] = json.loads(json.dumps(item))
    return found


def test_an_ordinary_session_that_waits_is_kept_as_it_is() -> None:
    """Nothing has to be read again before it is granted."""
    session = session_of(stored(make.session()))
    assert lean(session) is session
    assert not is_cut(session)


@pytest.mark.parametrize("state", [None, State.ACTIVE, State.DENIED])
def test_a_large_template_is_not_kept(state: State | None) -> None:
    """Neither while the session waits, when it can be read again, nor once it has been used."""
    base = make.session() if state is None else make.active()
    item = stored(base, template=FLOOD)
    if state is State.DENIED:
        item["status"]["state"] = "Denied"
    session = session_of(item)
    assert isinstance(session.spec.task.job_template, LargeTemplate)
    kept = lean(session)
    assert kept.spec.task.job_template == {"spec": {"activeDeadlineSeconds": 7}}
    assert job_name(kept) == job_name(session)
    assert manifests.authored_deadline(kept) == manifests.authored_deadline(session)
    assert is_cut(kept) == (state is None)
    assert kept.status == session.status
    assert kept.metadata == session.metadata


@pytest.mark.parametrize(
    "what", ["template", "annotations", "labels", "access", "groups", "ownerReferences", "finalizers"]
)
@pytest.mark.parametrize("state", ["Pending", "Denied"])
def test_what_is_held_is_bounded(what: str, state: str) -> None:
    """However the quarter of a megabyte is filled that is read, some kilobytes are held."""
    item = stored(make.session())
    item["status"] = {"state": state}
    many = {f"key-{number}": "v" * 10 for number in range(8000)}
    match what:
        case "template":
            item["spec"]["task"] = {"jobTemplate": {"spec": FLOOD}}
        case "access":
            names = [f"name-{number}" for number in range(128)]
            rule = {"apiGroups": [""], "resources": ["pods"], "resourceNames": names, "verbs": ["get"]}
            item["spec"]["access"] = {"rules": [rule] * 64}
        case "groups":
            item["spec"]["requester"] = {"username": "u", "groups": [f"group-{number}" for number in range(1024)]}
        case "ownerReferences":
            owner = {"apiVersion": "v1", "kind": "K"}
            item["metadata"][what] = [{**owner, "name": f"n{n}", "uid": f"u{n}"} for n in range(3600)]
        case "finalizers":
            item["metadata"][what] = [f"example.com/{number}" for number in range(8000)]
        case _:
            item["metadata"][what] = many
    raw = json.dumps(item)
    assert len(raw) < LARGEST
    del item, many
    # Not with the value itself: what is shared of it would be counted as held before.
    lean(session_of(stored(make.session())))
    tracemalloc.start()
    try:
        kept = lean(session_of(json.loads(raw)))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 48 << 10, held
    assert kept.metadata.uid


def test_the_marks_of_tools_are_kept() -> None:
    """Among thousands of annotations, those are kept by which a tool knows what it applied."""
    annotations = {f"a{number}": "x" * 20 for number in range(5000)} | {"argocd.argoproj.io/tracking-id": "x"}
    session = session_of(stored(make.session(), annotations=annotations))
    kept = lean(session)
    assert kept.metadata.annotations == {"argocd.argoproj.io/tracking-id": "x"}
    assert is_tracked(kept)
    assert is_cut(kept)


def test_of_a_session_that_may_not_be_read_its_life_is_known() -> None:
    """Its state, its identity and its deadline are those of its status: it ends like any other."""
    item = stored(make.active())
    del item["spec"]["task"]
    fragment = Fragment(item, too_large=True)
    session = session_of(fragment)
    assert problem_with(session) == "it is larger than 256 KiB"
    assert not is_cut(session)
    assert session.status == make.active().status
    assert job_name(session) == session.metadata.name
    assert lean(session) is session


def test_of_a_session_that_makes_no_sense_its_name_is_known() -> None:
    """Whatever else a fragment holds, one can tell which session cannot be read."""
    metadata = {"name": "one", "namespace": "team", "uid": "u", "resourceVersion": "7"}
    session = session_of(Fragment({"metadata": metadata, "spec": {"ttl": []}, "status": {"state": 1}}, too_large=False))
    assert (session.metadata.name, session.metadata.uid) == ("one", "u")
    assert problem_with(session) == "it is nested deeper than 100 levels"
    assert session.status.state is State.PENDING
