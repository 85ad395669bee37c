"""What of a stored object can still be changed: nothing but `revoked`, and that only to true.

The schema alone is tried here, without the admission policy that compares the whole spec once more.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.api import ApiError
from tests.integration.api.conftest import Resources
from tests.integration.api.manifests import (
    ABSENT,
    EXTERNAL_SESSION,
    SESSION_APPROVAL,
    TASK_SESSION,
    Object,
    spoiled,
)
from tests.integration.api.test_refusals import causes

_TEMPLATE: Object = TASK_SESSION["spec"]["task"]["jobTemplate"]
_TASK_SESSION_SWAPS: list[tuple[str, Object]] = [
    ("policy", {"spec.policy": "other"}),
    ("ttl", {"spec.ttl": "16m"}),
    ("ttl", {"spec.ttl": "900s"}),
    ("ttl", {"spec.ttl": ABSENT}),
    ("notAfter", {"spec.notAfter": "2037-01-01T00:00:00Z"}),
    ("notAfter", {"spec.notAfter": ABSENT}),
    ("reason", {"spec.reason": "another"}),
    ("reason", {"spec.reason": ABSENT}),
    ("task", {"spec.task": {"external": {}}}),
    ("task", {"spec.task": {"job": {"name": "other"}}}),
    ("access", {"spec.access": ABSENT}),
    ("access", {"spec.access": {}}),
    ("access", {"spec.access.roles": [{"kind": "ClusterRole", "name": "edit"}]}),
    ("access", {"spec.access.roles": [{"kind": "Role", "name": "view"}]}),
    ("access", {"spec.access.rules.0.verbs": ["get", "patch", "delete"]}),
    ("access", {"spec.access.rules.0.verbs": ["patch", "get"]}),
    ("access", {"spec.access.rules.0.resourceNames": ABSENT}),
    ("token", {"spec.token": ABSENT}),
    ("ttlSecondsAfterFinished", {"spec.ttlSecondsAfterFinished": 0}),
    ("ttlSecondsAfterFinished", {"spec.ttlSecondsAfterFinished": ABSENT}),
    ("requester", {"spec.requester.username": "mallory"}),
    ("requester", {"spec.requester.groups": ["system:masters"]}),
    ("requester", {"spec.requester.groups": ABSENT}),
    ("requester", {"spec.requester.uid": ABSENT}),
]
_JOB_TEMPLATE_SWAPS: list[tuple[str, Object]] = [
    ("an unknown key beside spec", {"spec.task.jobTemplate": {"spec": _TEMPLATE["spec"], "evil": 1}}),
    ("metadata taken away", {"spec.task.jobTemplate.metadata": ABSENT}),
    ("annotations taken away", {"spec.task.jobTemplate.metadata.annotations": ABSENT}),
    ("an annotation's value", {"spec.task.jobTemplate.metadata.annotations": {"note": "by tool"}}),
    ("an annotation renamed", {"spec.task.jobTemplate.metadata.annotations": {"other": "by hand"}}),
    ("a label's value", {"spec.task.jobTemplate.metadata.labels": {"app": "other"}}),
    ("annotations for labels", {"spec.task.jobTemplate.metadata": {"annotations": {"app": "triage"}}}),
    (
        "a key at the top of spec renamed",
        {"spec.task.jobTemplate.spec": {"parallelism": 4, "template": _TEMPLATE["spec"]["template"]}},
    ),
    ("a value at the top of spec", {"spec.task.jobTemplate.spec.backoffLimit": 3}),
    ("a key at the top of spec taken away", {"spec.task.jobTemplate.spec.backoffLimit": ABSENT}),
    ("a key deep in spec renamed", {"spec.task.jobTemplate.spec.template.spec": {"hostPID": 1, "hostIPC": 1}}),
    ("an image", {"spec.task.jobTemplate.spec.template.spec.containers.0.image": "evil"}),
    ("a container more", {"spec.task.jobTemplate.spec.template.spec.containers": [{}, {}]}),
    ("text for spec", {"spec.task.jobTemplate.spec": "text"}),
    ("null for spec", {"spec.task.jobTemplate.spec": None}),
    ("a fraction for a whole number", {"spec.task.jobTemplate.spec.backoffLimit": 0.5}),
]
_ADDITIONS = [
    ("ttl", {"spec.ttl": "1h"}),
    ("notAfter", {"spec.notAfter": "2037-01-01T00:00:00Z"}),
    ("reason", {"spec.reason": ""}),
    ("access", {"spec.access": {"roles": [{"kind": "ClusterRole", "name": "edit"}]}}),
    ("ttlSecondsAfterFinished", {"spec.ttlSecondsAfterFinished": 1}),
    ("token", {"spec.token.sealed.publicKey.x": "CCCC"}),
    ("token", {"spec.token": {"delivery": "Secret"}}),
]
_APPROVAL_SWAPS: list[tuple[str, Object]] = [
    ("sessionRef", {"spec.sessionRef.name": "other"}),
    ("sessionRef", {"spec.sessionRef.uid": "0b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c12"}),
    ("decision", {"spec.decision": "Deny"}),
    ("reason", {"spec.reason": "another"}),
    ("reason", {"spec.reason": ABSENT}),
    ("approver", {"spec.approver.username": "mallory"}),
    ("approver", {"spec.approver.groups": ABSENT}),
]


@pytest.fixture(scope="module")
def stored(resources: Resources) -> Iterator[dict[str, Object]]:
    """One object of each manifest, as the API server returned it, by the manifest's name."""
    manifests = [TASK_SESSION, EXTERNAL_SESSION, SESSION_APPROVAL]
    found = {each["metadata"]["name"]: resources.create(each) for each in manifests}
    yield found
    for each in manifests:
        resources.admin.delete(resources.path(each))


def refused(resources: Resources, changed: Object) -> list[str]:
    """Try to replace an object; return the causes of the refusal."""
    with pytest.raises(ApiError) as refusal:
        resources.replace(changed, dryRun="All")
    assert refusal.value.status == 422
    return causes(refusal.value)


@pytest.mark.parametrize(("field", "changes"), _TASK_SESSION_SWAPS, ids=str)
def test_no_field_of_a_session_changes(
    resources: Resources, stored: dict[str, Object], field: str, changes: Object
) -> None:
    """No field of a TaskSession can be set to another value, nor taken away."""
    assert refused(resources, spoiled(stored["triage"], changes)) == [
        f"spec.{field}: Forbidden: spec.{field} cannot be changed: create a new TaskSession"
    ]


@pytest.mark.parametrize(("field", "changes"), _ADDITIONS, ids=str)
def test_no_field_of_a_session_is_added(
    resources: Resources, stored: dict[str, Object], field: str, changes: Object
) -> None:
    """A field that was left out stays out: it cannot be added, or replaced by another, later."""
    assert refused(resources, spoiled(stored["deploy"], changes)) == [
        f"spec.{field}: Forbidden: spec.{field} cannot be changed: create a new TaskSession"
    ]


@pytest.mark.parametrize("changes", [pytest.param(changes, id=name) for name, changes in _JOB_TEMPLATE_SWAPS])
def test_nothing_in_a_job_template_changes(
    resources: Resources, stored: dict[str, Object], changes: dict[str, Any]
) -> None:
    """A jobTemplate is compared deeply, unknown keys and all, in both directions."""
    assert refused(resources, spoiled(stored["triage"], changes)) == [
        "spec.task: Forbidden: spec.task cannot be changed: create a new TaskSession"
    ]


def test_a_job_templates_spec_cannot_be_renamed_away(resources: Resources, stored: dict[str, Object]) -> None:
    """The one key that the comparison would miss, spec under another name, is missed as a required field."""
    for template in ({"evil": _TEMPLATE["spec"]}, {"metadata": _TEMPLATE["metadata"], "evil": _TEMPLATE["spec"]}):
        assert refused(resources, spoiled(stored["triage"], {"spec.task.jobTemplate": template})) == [
            "spec.task.jobTemplate.spec: Required value"
        ]


def test_the_requester_cannot_be_taken_away(resources: Resources, stored: dict[str, Object]) -> None:
    """A session without its stamp is refused twice over."""
    assert sorted(refused(resources, spoiled(stored["triage"], {"spec.requester": ABSENT}))) == [
        "spec.requester: Forbidden: spec.requester cannot be changed: create a new TaskSession",
        "spec: Required value: spec.requester is stamped by admission, and was not: "
        "install the chart's admission policies",
    ]


@pytest.mark.parametrize(("field", "changes"), _APPROVAL_SWAPS, ids=str)
def test_no_field_of_an_approval_changes(
    resources: Resources, stored: dict[str, Object], field: str, changes: Object
) -> None:
    """No field of a SessionApproval can be set to another value, nor taken away."""
    assert refused(resources, spoiled(stored["triage-bob"], changes)) == [
        f"spec.{field}: Forbidden: spec.{field} cannot be changed: create a new SessionApproval"
    ]


def test_the_same_moment_in_other_words_is_no_change(resources: Resources, stored: dict[str, Object]) -> None:
    """Two spellings of one time stamp are equal: the session's deadline is the same by either."""
    resources.replace(spoiled(stored["triage"], {"spec.notAfter": "2036-12-01T01:00:00+01:00"}), dryRun="All")


def test_unknown_keys_beside_a_job_templates_spec_are_the_comparisons_known_limit(resources: Resources) -> None:
    """A key that nothing reads can be renamed as far as the schema sees: the admission policy compares it, too."""
    odd = spoiled(
        TASK_SESSION, {"metadata.name": "odd", "spec.task.jobTemplate": {"spec": _TEMPLATE["spec"], "odd": 1}}
    )
    created = resources.create(odd)
    try:
        renamed = {"spec": _TEMPLATE["spec"], "even": 2}
        resources.replace(spoiled(created, {"spec.task.jobTemplate": renamed}), dryRun="All")
    finally:
        resources.admin.delete(resources.path(odd))


def test_revoked_only_turns_true(resources: Resources) -> None:
    """A session can be revoked, and a revoked one neither resumed nor have the field taken away."""
    manifest = spoiled(TASK_SESSION, {"metadata.name": "revoked"})
    created = resources.create(manifest)
    try:
        assert created["spec"]["revoked"] is False
        hidden = spoiled(created, {"spec.revoked": True, "spec.ttl": "24h"})
        assert refused(resources, hidden) == [
            "spec.ttl: Forbidden: spec.ttl cannot be changed: create a new TaskSession"
        ]
        revoked = resources.replace(spoiled(created, {"spec.revoked": True}))
        expected = [
            "spec.revoked: Forbidden: spec.revoked can only turn true: a session that was ended cannot be resumed"
        ]
        assert refused(resources, spoiled(revoked, {"spec.revoked": False})) == expected
        assert refused(resources, spoiled(revoked, {"spec.revoked": ABSENT})) == expected
    finally:
        resources.admin.delete(resources.path(manifest))


def test_metadata_and_status_stay_free(resources: Resources, stored: dict[str, Object]) -> None:
    """Labels and annotations can be put on a session, as tools do."""
    changed = spoiled(stored["triage"], {"metadata.labels": {"team": "support"}, "metadata.annotations": {"seen": "1"}})
    assert resources.replace(changed, dryRun="All")["metadata"]["labels"] == {"team": "support"}
