"""What the API server refuses to store, and what its author reads."""

import pytest

from tasksession.api import TaskSession
from tests.cluster.api import ApiError
from tests.integration.api.bad_access import BAD_ACCESS
from tests.integration.api.bad_policies import BAD_POLICIES
from tests.integration.api.bad_sessions import BAD_SESSIONS
from tests.integration.api.case import Case
from tests.integration.api.conftest import Resources
from tests.integration.api.manifests import (
    EXTERNAL_SESSION,
    SESSION_APPROVAL,
    SESSION_POLICY,
    TASK_SESSION,
    Object,
    spoiled,
)

#: The API server adds this where it left rules unchecked because of the causes before it.
_TRAILER = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def causes(refusal: ApiError) -> list[str]:
    """Return the causes of a refusal as `field: message`, without the remark that others may follow."""
    listed = refusal.body["details"]["causes"]
    return [text for cause in listed if (text := f"{cause['field']}: {cause['message']}") != _TRAILER]


@pytest.mark.parametrize(
    "good",
    [TASK_SESSION, EXTERNAL_SESSION, SESSION_POLICY, SESSION_APPROVAL],
    ids=lambda good: good["metadata"]["name"],
)
def test_a_manifest_with_every_field_is_accepted(resources: Resources, good: Object) -> None:
    """The manifests that the refused ones are made from are themselves accepted, and nothing of them is dropped."""
    stored = resources.create(good, dryRun="All", fieldValidation="Strict")
    assert {**stored["spec"], **good["spec"]} == stored["spec"]


@pytest.mark.parametrize("case", [*BAD_SESSIONS, *BAD_ACCESS, *BAD_POLICIES], ids=lambda case: case.name)
def test_a_bad_object_is_refused_in_words(resources: Resources, case: Case) -> None:
    """Each bad object is refused as invalid, with exactly the causes that say what is wrong where."""
    with pytest.raises(ApiError) as refused:
        resources.create(spoiled(case.good, case.changes), dryRun="All")
    assert refused.value.status == 422
    assert causes(refused.value) == case.causes


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.notAfter": "2036-12-01T00:00:00.123456789+14:00"},
        {"spec.ttl": "10s"},
        {"spec.ttl": "24h"},
        {"spec.ttl": "86400000000000ns"},
        {"spec.ttl": "0h1.5m0.000001s"},
        {"spec.reason": "\u0000\n\t\ud83d\udd11 " * 9},
        {"spec.access": {}},
        {"spec.access": {"roles": [], "rules": []}},
        {"spec.task.jobTemplate.spec": "no object at all"},
        {"spec.task": {"job": {"name": "a.b-c"}}},
        {"spec.access.roles": [{"kind": "ClusterRole", "name": "system:aggregate-to-view"}]},
        {"spec.requester": {"username": "system:serviceaccount:a:b", "groups": ["", "\u2026"]}},
    ],
    ids=str,
)
def test_what_is_odd_but_allowed_can_be_read(resources: Resources, changes: Object) -> None:
    """Whatever the schema lets through, the operator's model reads, and writes again with the same meaning."""
    stored = resources.create(spoiled(TASK_SESSION, changes), dryRun="All")
    session = TaskSession.model_validate(stored)
    written = session.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert TaskSession.model_validate(written) == session
    assert written["spec"]["task"] == stored["spec"]["task"]
