"""The objects of a session: owners, labels, names, and when one that is already there may be taken for ours."""

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tasksession.api import names
from tasksession.api.access import PolicyRule
from tasksession.lifecycle import manifests
from tasksession.lifecycle.task_job import seconds_until
from tests.unit import make

IDENTITY = names.Identity(make.JOB_UID, int((make.NOW + timedelta(minutes=10)).timestamp()))
TIMER_UID = "77777777-2222-3333-4444-555555555555"
RULES = (
    PolicyRule(api_groups=("",), resources=("configmaps", "secrets"), verbs=("get", "list")),
    PolicyRule(api_groups=("apps",), resources=("deployments",), resource_names=("web",), verbs=("patch",)),
)

BUILT: dict[str, manifests.Manifest] = {
    "Job": manifests.job(make.session()),
    "timer": manifests.timer(make.session(), make.job(), IDENTITY, make.NOW),
    "ServiceAccount": manifests.service_account(make.session(), IDENTITY, TIMER_UID),
    "Role": manifests.role(make.session(), IDENTITY, TIMER_UID, RULES),
    "RoleBinding": manifests.role_binding(make.session(), IDENTITY, TIMER_UID, f"{IDENTITY.name}-0", make.VIEW),
    "RoleBinding of rules": manifests.role_binding(make.session(), IDENTITY, TIMER_UID, IDENTITY.name, None),
}
CHILDREN = [kind for kind in BUILT if kind != "Job"]


def stored(kind: str) -> manifests.Manifest:
    """An object as the API server gives it back right after it was created."""
    item = copy.deepcopy(BUILT[kind])
    item["metadata"].update({"uid": "u", "resourceVersion": "1", "creationTimestamp": make.timestamp(make.NOW)})
    return item


@pytest.mark.parametrize(
    ("kind", "owner_kind", "owner_uid"),
    [
        ("Job", "TaskSession", make.SESSION_UID),
        ("timer", "Job", make.JOB_UID),
        *((kind, "Job", TIMER_UID) for kind in CHILDREN if kind != "timer"),
    ],
)
def test_every_object_has_one_controller_owner(kind: str, owner_kind: str, owner_uid: str) -> None:
    """TaskSession, Job, timer, identity and rights: any link that goes takes all below with it."""
    [owner] = BUILT[kind]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == (owner_kind, owner_uid)
    assert owner["controller"] is True
    assert owner["blockOwnerDeletion"] is True


@pytest.mark.parametrize("kind", BUILT)
def test_every_object_says_whose_it_is_and_holds_nothing_open(kind: str) -> None:
    """Labels name the session; there are no finalizers, which would keep access alive while nobody removes them."""
    metadata = BUILT[kind]["metadata"]
    assert metadata["namespace"] == make.NAMESPACE
    assert (
        metadata["labels"].items()
        >= {
            names.MANAGED_BY_LABEL: names.MANAGED_BY,
            names.SESSION_LABEL: "triage",
            names.SESSION_UID_LABEL: make.SESSION_UID,
        }.items()
    )
    assert "finalizers" not in metadata


@pytest.mark.parametrize("kind", CHILDREN)
def test_the_name_of_every_child_is_the_identity_s(kind: str) -> None:
    """Job uid and deadline are in the name, so that it is never used twice."""
    assert names.identity_of_binding(BUILT[kind]["metadata"]["name"]) == IDENTITY


def test_the_job_is_the_template_suspended_and_marked() -> None:
    """What the author wrote stays, but that it waits, and bears our label and annotation."""
    template = {
        "metadata": {"labels": {"team": "blue"}, "annotations": {"note": "x"}},
        "spec": {"suspend": False, "backoffLimit": 2, "template": {"spec": {}}},
    }
    job = manifests.job(make.session(task={"jobTemplate": template}))
    assert job["metadata"]["name"] == "triage"
    assert job["spec"] == {"suspend": True, "backoffLimit": 2, "template": {"spec": {}}}
    assert job["metadata"]["labels"].items() >= {"team": "blue", names.MANAGED_LABEL: "true"}.items()
    assert job["metadata"]["annotations"] == {"note": "x", names.SESSION_ANNOTATION: "triage"}


def test_the_author_cannot_relabel_a_child_of_the_session() -> None:
    """A template's own managed-by label does not hide the Job from what looks for the session's objects."""
    template = {"metadata": {"labels": {names.MANAGED_BY_LABEL: "Helm"}}, "spec": {}}
    job = manifests.job(make.session(task={"jobTemplate": template}))
    assert job["metadata"]["labels"][names.MANAGED_BY_LABEL] == names.MANAGED_BY


def test_the_timer_has_no_pods_and_removes_itself() -> None:
    """No pods run, none can be adopted, and Kubernetes deletes it as soon as its time is over."""
    spec = BUILT["timer"]["spec"]
    assert (spec["parallelism"], spec["ttlSecondsAfterFinished"], spec["manualSelector"]) == (0, 0, True)
    assert spec["selector"] == {"matchLabels": {names.TIMER_LABEL: IDENTITY.name}}
    assert spec["template"]["metadata"]["labels"] == {names.TIMER_LABEL: IDENTITY.name}


@pytest.mark.parametrize(("late", "expected"), [(0.0, 600), (0.1, 600), (1.0, 599), (599.9, 1), (600.0, 1), (700.0, 1)])
def test_seconds_left_are_rounded_up_and_at_least_one(late: float, expected: int) -> None:
    """A timer never fires before the deadline, and one that is made too late fires at once."""
    deadline = make.NOW + timedelta(minutes=10)
    assert seconds_until(deadline, make.NOW + timedelta(seconds=late)) == expected


def test_the_role_has_the_rules_asked_for() -> None:
    """Every rule is written in Kubernetes' form, without empty lists."""
    assert BUILT["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"], "verbs": ["patch"]},
    ]


def test_the_subject_of_every_role_binding_is_the_identity_alone() -> None:
    """One subject, in the session's own namespace."""
    for kind, role in (("RoleBinding", "view"), ("RoleBinding of rules", IDENTITY.name)):
        assert BUILT[kind]["subjects"] == [
            {"kind": "ServiceAccount", "name": IDENTITY.name, "namespace": make.NAMESPACE}
        ]
        assert BUILT[kind]["roleRef"]["name"] == role


@pytest.mark.parametrize("kind", BUILT)
def test_what_was_just_created_is_ours(kind: str) -> None:
    """A create whose answer was lost is found again by the next attempt."""
    assert manifests.matches(stored(kind), BUILT[kind])


def _owner(change: dict[str, Any]) -> Callable[[manifests.Manifest], None]:
    return lambda item: item["metadata"]["ownerReferences"][0].update(change)


ALTERED: dict[str, tuple[list[str], Callable[[manifests.Manifest], None]]] = {
    "another owner": (CHILDREN, _owner({"uid": "other"})),
    "an owner of another kind": (CHILDREN, _owner({"kind": "ConfigMap"})),
    "no controller": (CHILDREN, _owner({"controller": False})),
    "no owner": (CHILDREN, lambda item: item["metadata"].pop("ownerReferences")),
    "a second owner": (CHILDREN, lambda item: item["metadata"]["ownerReferences"].append({"kind": "Pod", "uid": "p"})),
    "another session": (CHILDREN, lambda item: item["metadata"]["labels"].update({names.SESSION_UID_LABEL: "other"})),
    "no labels": (CHILDREN, lambda item: item["metadata"].pop("labels")),
    "a finalizer": (CHILDREN, lambda item: item["metadata"].update({"finalizers": ["example.com/hold"]})),
    "deletion": (CHILDREN, lambda item: item["metadata"].update({"deletionTimestamp": make.timestamp(make.NOW)})),
    "a second subject": (
        ["RoleBinding", "RoleBinding of rules"],
        lambda item: item["subjects"].append({"kind": "User", "name": "mallory"}),
    ),
    "another subject": (["RoleBinding"], lambda item: item["subjects"][0].update({"name": "default"})),
    "a subject elsewhere": (["RoleBinding"], lambda item: item["subjects"][0].update({"namespace": "other"})),
    "another role": (["RoleBinding"], lambda item: item["roleRef"].update({"name": "admin"})),
    "a role of another kind": (["RoleBinding"], lambda item: item["roleRef"].update({"kind": "Role"})),
    "wider rules": (["Role"], lambda item: item["rules"][0]["verbs"].append("*")),
    "fewer rules": (["Role"], lambda item: item["rules"].pop()),
    "lifted names": (["Role"], lambda item: item["rules"][1].pop("resourceNames")),
    "a later timer": (["timer"], lambda item: item["spec"].update({"activeDeadlineSeconds": 662})),
    "an earlier timer": (["timer"], lambda item: item["spec"].update({"activeDeadlineSeconds": 598})),
    "no timer": (["timer"], lambda item: item["spec"].pop("activeDeadlineSeconds")),
    "a timer that waits": (["timer"], lambda item: item["spec"].update({"suspend": True})),
    "a timer with pods": (["timer"], lambda item: item["spec"].update({"parallelism": 1})),
    "a timer that stays": (["timer"], lambda item: item["spec"].update({"ttlSecondsAfterFinished": 900})),
    "a timer that adopts": (
        ["timer"],
        lambda item: item["spec"].update({"selector": {"matchLabels": {"app": "web"}}}),
    ),
}


@pytest.mark.parametrize(
    ("alteration", "kind"), [(name, kind) for name, (kinds, _) in ALTERED.items() for kind in kinds]
)
def test_what_another_hand_has_touched_is_not_ours(alteration: str, kind: str) -> None:
    """An object of our name with another owner, content or clock is refused, never adopted."""
    item = stored(kind)
    ALTERED[alteration][1](item)
    assert not manifests.matches(item, BUILT[kind])


@pytest.mark.parametrize("seconds", [599, 600, 601])
def test_a_timer_is_ours_within_a_second(seconds: int) -> None:
    """The creation time is cut to whole seconds and the first attempt rounded up: a second either way is its own."""
    item = stored("timer")
    item["spec"]["activeDeadlineSeconds"] = seconds
    assert manifests.matches(item, BUILT["timer"])


def test_a_timer_made_by_an_earlier_attempt_is_ours_later() -> None:
    """A retry two minutes on would write fewer seconds; what counts is the moment at which the timer fires."""
    wanted = manifests.timer(make.session(), make.job(), IDENTITY, make.NOW + timedelta(minutes=2))
    assert wanted["spec"]["activeDeadlineSeconds"] == 480
    assert manifests.matches(stored("timer"), wanted)


def test_the_order_of_a_role_s_values_does_not_matter() -> None:
    """The API server may keep lists in another order; the rights are the same."""
    item = stored("Role")
    item["rules"][0]["verbs"].reverse()
    assert manifests.matches(item, BUILT["Role"])


@pytest.mark.parametrize(("kind", "reference"), [("RoleBinding", make.VIEW), ("RoleBinding of rules", None)])
def test_a_role_binding_that_somebody_joined_gives_something_else(kind: str, reference: Any) -> None:
    """What a RoleBinding gives is compared with what was granted: its role, and everybody it is for."""
    binding = stored(kind)
    wanted = manifests.given_to(IDENTITY.name, binding["metadata"]["namespace"], reference)
    assert manifests.given_by(binding) == wanted
    widened = copy.deepcopy(binding)
    widened["subjects"].append({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"})
    assert manifests.given_by(widened) != wanted
    other = copy.deepcopy(binding)
    other["roleRef"]["name"] = "cluster-admin"
    assert manifests.given_by(other) != wanted
