"""The models: they read whatever the published schema admits, and write what they read."""

import functools
import json
import re
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tools.crds import KINDS, Kind, custom_resource_definition

import tasksession.api
from tasksession.api import SessionApproval, SessionPolicy, TaskSession
from tasksession.api.access import PolicyRule
from tasksession.api.conditions import Condition, ConditionType, Reason, State
from tasksession.api.metadata import ObjectMeta
from tasksession.api.model import KubernetesModel
from tasksession.api.session import INITIAL_STATUS, TaskSessionStatus

_SESSION: dict[str, Any] = {
    "apiVersion": "tasksession.dev/v1alpha1",
    "kind": "TaskSession",
    "metadata": {
        "name": "triage",
        "namespace": "support",
        "uid": "0b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11",
        "generation": 2,
        "resourceVersion": "4711",
        "creationTimestamp": "2026-11-23T22:00:00Z",
        "labels": {"team": "support"},
        "annotations": {"note": ""},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "CronJob", "name": "x", "uid": "u0"},
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": "triage",
                "uid": "u1",
                "controller": True,
                "blockOwnerDeletion": True,
            },
        ],
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "policy": "ticket-triage",
        "notAfter": "2026-12-01T01:00:00.999+01:00",
        "task": {"jobTemplate": {"spec": {"a": [1, {"b": None}]}}},
        "access": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        "requester": {"username": "alice"},
        "fieldOfALaterVersion": {"x": 1},
    },
    "status": {"timerUID": "t", "serviceAccountUID": "s", "credentialIDs": ["c"]},
}


def test_the_public_surface_is_narrow() -> None:
    """The package itself offers the three kinds and nothing else."""
    assert tasksession.api.__all__ == ["SessionApproval", "SessionPolicy", "TaskSession"]


def test_a_session_is_read_and_written() -> None:
    """What was read is written under Kubernetes' names; what the model does not know is left out."""
    session = TaskSession.model_validate(_SESSION)
    assert session.metadata.controller is not None
    assert session.metadata.controller.name == "triage"
    assert session.spec.not_after == datetime(2026, 12, 1, tzinfo=UTC)
    assert session.spec.task.job_template == {"spec": {"a": [1, {"b": None}]}}
    assert session.spec.access is not None
    assert session.spec.access.rules[0] == PolicyRule(api_groups=("",), resources=("pods",), verbs=("get",))
    assert session.status.timer_uid == "t"
    written = session.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert written["metadata"]["creationTimestamp"] == "2026-11-23T22:00:00Z"
    assert written["spec"]["notAfter"] == "2026-12-01T00:00:00Z"
    assert "fieldOfALaterVersion" not in written["spec"]
    assert written["status"] == {
        "state": "Pending",
        "conditions": [],
        "serviceAccountUID": "s",
        "timerUID": "t",
        "grants": [],
        "credentialIDs": ["c"],
    }
    assert TaskSession.model_validate(written) == session


def test_metadata_leaves_out_what_is_empty() -> None:
    """An object that is to be created is written without the fields that the API server sets."""
    assert ObjectMeta(name="a").model_dump(mode="json", by_alias=True, exclude_none=True) == {"name": "a"}
    assert ObjectMeta().controller is None


def test_a_model_cannot_be_changed() -> None:
    """What was read stays as it was read."""
    session = TaskSession.model_validate(_SESSION)
    with pytest.raises(ValidationError):
        session.spec.revoked = True  # type: ignore[misc]


def test_fields_have_both_names() -> None:
    """A field is set by its Python name as by its Kubernetes name."""
    assert TaskSessionStatus(timer_uid="t") == TaskSessionStatus.model_validate({"timerUID": "t"})


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time would be read in the zone of whoever reads it."""
    with pytest.raises(ValidationError, match="timezone"):
        TaskSessionStatus(deadline=datetime(2026, 12, 1))


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-12)), timezone(timedelta(hours=14))])))
def test_a_time_is_cut_to_whole_seconds_in_utc(moment: datetime) -> None:
    """A time is never later than written, by less than a second, and stays the same when written and read."""
    if not datetime(1000, 1, 2, tzinfo=UTC) < moment < datetime(2999, 12, 30, tzinfo=UTC):
        return
    status = TaskSessionStatus(deadline=moment)
    assert status.deadline is not None
    assert timedelta(0) <= moment - status.deadline < timedelta(seconds=1)
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written["deadline"])
    assert TaskSessionStatus.model_validate(written) == status


def test_a_fresh_status_waits() -> None:
    """The status that the API server gives a fresh object reads as one that waits, with no access."""
    status = TaskSessionStatus.model_validate(INITIAL_STATUS)
    assert status.state is State.PENDING
    reconciling = status.condition(ConditionType.RECONCILING)
    granted = status.condition(ConditionType.GRANTED)
    assert reconciling is not None
    assert (reconciling.status, reconciling.reason) == ("True", Reason.PENDING)
    assert granted is not None
    assert granted.status == "False"
    assert TaskSessionStatus().condition(ConditionType.READY) is None


def test_final_states_are_those_that_end_a_session() -> None:
    """A session that waits or is active is not over; in every other state it is."""
    assert {state for state in State if not state.final} == {State.PENDING, State.AWAITING_APPROVAL, State.ACTIVE}


def test_every_reason_can_stand_in_a_condition() -> None:
    """Each reason has the form that Kubernetes demands of one."""
    for reason in Reason:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", reason)


def test_a_reason_of_a_later_version_is_read() -> None:
    """A condition written by a later version does not keep this one from reading the session."""
    condition = Condition.model_validate(
        {"type": "Later", "status": "True", "reason": "Later", "lastTransitionTime": "2026-12-01T00:00:00Z"}
    )
    assert condition.reason == "Later"


_TIMES = st.builds(
    lambda date, fraction, zone: f"{date:%Y-%m-%dT%H:%M:%S}{fraction}{zone}",
    st.datetimes(min_value=datetime(1001, 1, 1), max_value=datetime(2999, 1, 1)),
    st.sampled_from(["", ".1", ".123456", ".999999999"]),
    st.sampled_from(["Z", "+00:00", "-00:00", "+23:59", "-23:59", "+05:30"]),
)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def admitted(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Build objects that a structural schema admits (its CEL rules apart), odd ones among them."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], schema.get("maximum", 2**63 - 1))
        case "array":
            return st.lists(admitted(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "string" if schema.get("format") == "date-time":
            return _TIMES
        case "string" if "pattern" in schema:
            return st.from_regex(re.compile(schema["pattern"], re.ASCII), fullmatch=True)
        case "string":
            # Go replaces lone surrogates as it reads: none is ever stored.
            text = st.characters(exclude_categories=["Cs"])
            return st.text(text, min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 8), 8))
    if "additionalProperties" in schema:
        return st.dictionaries(st.text(max_size=5), admitted(schema["additionalProperties"]), min_size=1, max_size=2)
    required = set(schema.get("required", ()))
    properties = {name: admitted(inner) for name, inner in schema.get("properties", {}).items()}
    properties |= dict.fromkeys(required - properties.keys(), _ANYTHING)
    return st.fixed_dictionaries(
        {name: found for name, found in properties.items() if name in required},
        optional={name: found for name, found in properties.items() if name not in required},
    )


@functools.cache
def _stored(index: int) -> st.SearchStrategy[Any]:
    """Build what the API server may store of a kind; made once, as that takes longer than an example."""
    version = custom_resource_definition(KINDS[index])["spec"]["versions"][0]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    return st.fixed_dictionaries(
        {name: admitted(properties[name]) for name in ("spec", "status") if name in properties}
    )


_MODELS: dict[str, type[KubernetesModel]] = {
    "TaskSession": TaskSession,
    "SessionPolicy": SessionPolicy,
    "SessionApproval": SessionApproval,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_whatever_the_schema_admits_is_read(kind: Kind, data: st.DataObject) -> None:
    """No object that the API server stores keeps the operator from reading it: it must be able to end any session."""
    stored = data.draw(_stored(KINDS.index(kind)))
    model = _MODELS[kind.name]
    read = model.model_validate({"metadata": {"name": "a"}, **stored})
    written = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert model.model_validate(written) == read
    assert _kept(stored["spec"], written["spec"])


def _kept(stored: Any, written: Any) -> bool:
    """Whether everything that was stored is still there; times may be spelled otherwise."""
    if isinstance(stored, dict) and isinstance(written, dict):
        return all(name in written and _kept(value, written[name]) for name, value in stored.items())
    if isinstance(stored, list) and isinstance(written, list):
        return len(stored) == len(written) and all(map(_kept, stored, written))
    return bool(stored == written) or (isinstance(written, str) and written.endswith("Z") and "T" in stored)


def test_the_uid_of_a_role_binding_is_read_over_and_never_published() -> None:
    """An object of an earlier version has it in its grants: it is read like any other, and written without."""
    grant = {"roleBinding": "ts-x-0", "roleBindingUID": "3b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11", "rulesHash": "00"}
    stored = {**_SESSION, "status": {"state": "Active", "grants": [grant]}}
    read = TaskSession.model_validate(stored)
    assert read.status.grants[0].role_binding == "ts-x-0"
    assert "3b5e6d43" not in read.model_dump_json(by_alias=True)
    [kind] = [kind for kind in KINDS if kind.name == "TaskSession"]
    assert "roleBindingUID" not in json.dumps(custom_resource_definition(kind))


def test_ten_thousand_sessions_take_little_memory() -> None:
    """What models have alike they share, or an operator with many live sessions outgrows its container."""
    text = json.dumps(_SESSION)
    tracemalloc.start()
    try:
        sessions = [TaskSession.model_validate(json.loads(text)) for _ in range(500)]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / len(sessions) < 8_000


def test_a_copy_changes_nothing_of_what_it_was_made_of() -> None:
    """Which fields were given is held once for all models alike; a copy with another field keeps that to itself."""
    first, second = (TaskSessionStatus(task="external") for _ in range(2))
    copy = first.model_copy(update={"end_reason": "Expired"})
    assert copy.model_fields_set == {"task", "end_reason"}
    assert (first.model_fields_set, second.model_fields_set) == ({"task"}, {"task"})
