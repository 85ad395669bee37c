"""Whether the guards are in force: listed, present, bound, and word for word what this version ships."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tasksession.cluster.expected_guards import GUARDS
from tasksession.engine.guards import Guards
from tests.unit.guards.shipped import OPERATOR, PLURALS, VALUES, Object, installed, with_values

POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
MUTATING, MUTATING_BINDINGS = "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"
TOKEN = "tasksession-token"


def listed(items: dict[tuple[str, str], Object] | None = None, *, user: str = OPERATOR) -> Guards:
    """Guards after a full listing."""
    guards = Guards(GUARDS)
    guards.belong_to(user)
    guards.replace((plural, item) for (plural, _), item in (installed() if items is None else items).items())
    return guards


def names(guards: Guards) -> list[str]:
    """Name the guards that are not in force."""
    return [each.split(":")[0] for each in guards.missing()]


def test_nothing_is_in_force_before_the_first_listing() -> None:
    """Single events do not make up for a listing that has not come."""
    guards = Guards(GUARDS)
    guards.belong_to(OPERATOR)
    for (plural, _), item in installed().items():
        guards.see(plural, item)
    assert guards.missing() == ("not listed yet",)


def test_an_installation_with_values_of_its_own_is_in_force() -> None:
    """What the chart's values change, and what the API server fills in, is no difference."""
    assert listed().missing() == ()


def test_every_form_that_ships_is_in_force() -> None:
    """The chart's switches change the text of guards: each of their forms counts as whole."""
    switched = [guard for guard in GUARDS if len(guard.policies) > 1]
    assert switched
    for guard in switched:
        for policy in guard.policies:
            items = installed()
            items[PLURALS[guard.kind], guard.name]["spec"] = with_values(policy)
            assert listed(items).missing() == ()


@pytest.mark.parametrize("plural", [POLICIES, BINDINGS, MUTATING, MUTATING_BINDINGS])
def test_a_policy_or_binding_that_is_not_there_is_missed(plural: str) -> None:
    """A policy without its binding refuses nothing, and the other way round."""
    name = TOKEN if plural in (POLICIES, BINDINGS) else "tasksession-job-injection"
    items = installed()
    del items[plural, name]
    reason = "it has no binding" if plural.endswith("bindings") else "it is not installed"
    assert listed(items).missing() == (f"{name}: {reason}",)


def put(path: str, value: Any) -> Callable[[Object], None]:
    """Return a change of a spec that puts a value at a path; `+` appends to a list."""

    def change(spec: Object) -> None:
        *parents, last = path.split(".")
        inner: Any = spec
        for parent in parents:
            inner = inner[int(parent)] if parent.isdigit() else inner.setdefault(parent, {})
        if last == "+":
            inner.append(value)
        else:
            inner[int(last) if last.isdigit() else last] = value

    return change


def drop(path: str) -> Callable[[Object], None]:
    """Return a change of a spec that takes away what is at a path."""

    def change(spec: Object) -> None:
        *parents, last = path.split(".")
        inner: Any = spec
        for parent in parents:
            inner = inner[int(parent)] if parent.isdigit() else inner[parent]
        del inner[int(last) if last.isdigit() else last]

    return change


EXEMPTED = {"name": "not-mallory", "expression": "request.userInfo.username != 'mallory'"}
WEAKENED: list[tuple[str, Callable[[Object], None], str]] = [
    (POLICIES, put("validations.1.expression", "true"), "spec.validations[1].expression is not what this"),
    (POLICIES, drop("validations.2"), "spec.validations has 2 entries instead of 3"),
    (POLICIES, drop("validations"), "spec.validations is missing"),
    (POLICIES, put("validations.0.reason", "Invalid"), "spec.validations[0].reason is Invalid instead of Forbidden"),
    (POLICIES, put("matchConditions.+", EXEMPTED), "spec.matchConditions has 2 entries instead of 1"),
    (POLICIES, put("matchConditions.0.expression", "false"), "spec.matchConditions[0].expression is not what"),
    (POLICIES, put("matchConstraints.resourceRules", []), "spec.matchConstraints.resourceRules is missing"),
    (POLICIES, put("matchConstraints.resourceRules.0.resourceNames", ["x"]), "resourceNames was added"),
    (POLICIES, put("matchConstraints.resourceRules.0.scope", "Cluster"), "scope is Cluster instead of *"),
    (POLICIES, put("matchConstraints.resourceRules.0.operations.0", "UPDATE"), "is UPDATE instead of CREATE"),
    (POLICIES, put("matchConstraints.matchPolicy", "Exact"), "spec.matchConstraints.matchPolicy was added"),
    (POLICIES, put("matchConstraints.objectSelector.matchLabels", {"a": "b"}), "objectSelector was added"),
    (POLICIES, put("matchConstraints.namespaceSelector.matchLabels", {"a": "b"}), "namespaceSelector was added"),
    (POLICIES, put("matchConstraints.excludeResourceRules", [{"resources": ["x"]}]), "excludeResourceRules was added"),
    (POLICIES, put("variables.0.expression", "duration('1h')"), "spec.variables[0].expression is not what"),
    (POLICIES, put("failurePolicy", "Ignore"), "spec.failurePolicy is Ignore instead of Fail"),
    (POLICIES, put("paramKind", {"apiVersion": "v1", "kind": "ConfigMap"}), "spec.paramKind was added"),
    (BINDINGS, put("validationActions", ["Audit"]), "spec.validationActions[0] is Audit instead of Deny"),
    (BINDINGS, drop("validationActions"), "spec.validationActions is missing"),
    (BINDINGS, put("policyName", "other"), "it has no binding"),
    (BINDINGS, put("paramRef", {"name": "x"}), "spec.paramRef was added"),
    (BINDINGS, put("matchResources.namespaceSelector.matchLabels", {"a": "b"}), "spec.matchResources was added"),
    (BINDINGS, put("matchResources.objectSelector.matchLabels", {"a": "b"}), "spec.matchResources was added"),
    (BINDINGS, put("matchResources.resourceRules", [{"resources": ["pods"]}]), "spec.matchResources was added"),
    (BINDINGS, put("matchResources.excludeResourceRules", [{"resources": ["*"]}]), "spec.matchResources was added"),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "change", "words"), WEAKENED, ids=[words for _, _, words in WEAKENED])
def test_a_weakened_guard_is_named_with_what_is_wrong(
    plural: str, change: Callable[[Object], None], words: str
) -> None:
    """Any change of a policy or binding is found, as it comes by the watch, and its repair too."""
    guards = listed()
    whole = installed()[plural, TOKEN]
    item = copy.deepcopy(whole)
    change(item["spec"])
    guards.see(plural, item)
    (found,) = guards.missing()
    assert found.startswith(f"{TOKEN}: ") and words in found
    guards.see(plural, whole)
    assert guards.missing() == ()


@pytest.mark.parametrize("name", ["tasksession-job-injection", "tasksession-requester-stamp"])
def test_a_weakened_mutation_is_found(name: str) -> None:
    """A stamp that writes somebody else's name is another guard."""
    items = installed()
    mutation = items[MUTATING, name]["spec"]["mutations"][0]["jsonPatch"]
    mutation["expression"] = mutation["expression"].replace("request.userInfo.username", '"alice"')
    if "alice" not in mutation["expression"]:
        mutation["expression"] = "[]"
    assert names(listed(items)) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "['x'] || true || request.userInfo.username in ['y']",
        "['x', 'y'].filter(u, true)",
        "['x' + 'y']",
        "['x\\'] || true || \\'']",
        "[request.userInfo.username]",
        "['x'",
        "[]) || ('' in [",
        "['a\nb']",
    ],
)
def test_no_expression_passes_for_a_list_of_users(text: str) -> None:
    """Only quoted strings stand in the place of a list: CEL in it is a change of the guard."""
    values = {**VALUES, "strings:controllers.rootCA": text}
    assert names(listed(installed(values))) == ["tasksession-root-ca"]


@pytest.mark.parametrize(
    ("placeholder", "text"),
    [
        ("rules:ceiling.rules", "[{'verbs': ['get'], 'names': []}] + oldRules"),
        ("rules:ceiling.rules", "[{'verbs': request.userInfo.groups, 'names': []}]"),
        ("rules:ceiling.rules", "[{'verbs': ['get'], 'names': [], 'more': []}]"),
        ("rules:ceiling.rules", "[{'verbs': ['get']}]"),
        ("rules:ceiling.rules", "object.rules"),
        ("numbers:ceiling.rules", "{'/pods': [0]}.filter(k, true)"),
        ("numbers:ceiling.rules", "{request.namespace: [0]}"),
        ("numbers:ceiling.rules", "{'/pods': [size(object.rules)]}"),
        ("strings:ceiling.clusterRoles", "[object.roleRef.name]"),
    ],
)
def test_a_ceiling_that_is_an_expression_is_a_changed_guard(placeholder: str, text: str) -> None:
    """The ceiling is literals only: nothing in its place can say yes to everything."""
    values = {**VALUES, placeholder: text}
    assert names(listed(installed(values))) == ["tasksession-operator-ceiling"]


@pytest.mark.parametrize(
    ("rules", "numbers"),
    [
        ("[]", "{}"),
        ("[{'verbs': ['get'], 'names': []}]", "{'/pods': [0]}"),
        (
            "[{'verbs': ['get', 'patch'], 'names': ['a', 'b']}, {'verbs': ['list'], 'names': []}]",
            "{'/pods': [0, 1], 'apps/deployments': [1]}",
        ),
    ],
)
def test_any_ceiling_is_no_difference(rules: str, numbers: str) -> None:
    """A ceiling is for everybody to choose, and so is one that is empty."""
    values = {**VALUES, "rules:ceiling.rules": rules, "numbers:ceiling.rules": numbers}
    assert names(listed(installed({**values, "strings:ceiling.clusterRoles": "[]"}))) == []


@pytest.mark.parametrize("text", ["45 || true", "0", "-1", "9999", "999", "1 + 1", ""])
def test_grace_is_a_small_number(text: str) -> None:
    """The longest grace is digits, and no longer than the chart allows."""
    values = {**VALUES, "seconds:maxGraceSeconds": text}
    assert names(listed(installed(values))) == sorted(
        ["tasksession-cronjob-shape", "tasksession-job-shape", "tasksession-pod-delete", "tasksession-pod-eviction"]
    )


@pytest.mark.parametrize("text", ["x|access')||('a'=='a", "(access)", "acc.ss", "access|", "kube-.*"])
def test_excluded_namespaces_are_names_with_stars_and_the_operators_own(text: str) -> None:
    """Nothing but names, `.*` and bars, and the operator's namespace is always one."""
    values = {**VALUES, "namespaces:excludedNamespaces": text}
    assert "tasksession-session-create" in names(listed(installed(values)))


def test_the_operator_of_the_guards_is_this_one() -> None:
    """Guards that let another user do what the operator may do hold neither that user nor this operator."""
    guards = listed(user="system:serviceaccount:access:other")
    assert any("which is system:serviceaccount:access:other" in each for each in guards.missing())
    unknown = Guards(GUARDS)
    unknown.replace((plural, item) for (plural, _), item in installed().items())
    assert any("not known yet" in each for each in unknown.missing())


def test_a_value_is_the_same_in_every_guard() -> None:
    """A guard with an exempted user of its own is found, for the others do not have that user."""
    items = installed()
    spec = items[POLICIES, "tasksession-pod-edit"]["spec"]
    condition = next(each for each in spec["matchConditions"] if each["name"] == "not-kubernetes")
    condition["expression"] = condition["expression"].replace("'all'", "'mallory'")
    (found,) = listed(items).missing()
    assert found.startswith("tasksession-pod-edit: its value of controllers.job+controllers.garbageCollector is not")


def test_lists_that_are_joined_have_the_values_of_their_parts() -> None:
    """What stands in several guards together is what stands in others by itself."""
    values = {**VALUES, "strings:controllers.job+controllers.garbageCollector": "['jobs', 'all', 'collector', 'x']"}
    assert "tasksession-pod-edit" in names(listed(installed(values)))


def test_a_second_binding_that_holds_is_enough() -> None:
    """One binding that narrows does not take from another that does not."""
    guards = listed()
    narrow = copy.deepcopy(installed()[BINDINGS, TOKEN])
    narrow["metadata"]["name"] = "narrow"
    narrow["spec"]["matchResources"] = {"resourceRules": [{"resources": ["pods"]}]}
    guards.see(BINDINGS, narrow)
    assert guards.missing() == ()


def test_a_binding_of_the_other_kind_does_not_count() -> None:
    """A mutating binding of a validating policy's name binds nothing."""
    items = installed()
    items[MUTATING_BINDINGS, TOKEN] = items.pop((BINDINGS, TOKEN))
    assert listed(items).missing() == (f"{TOKEN}: it has no binding",)


def test_empty_selectors_leave_nothing_out() -> None:
    """The API server fills selectors in with empty ones, which match everything."""
    items = installed()
    match = {"namespaceSelector": {}, "objectSelector": {}, "matchPolicy": "Equivalent"}
    items[BINDINGS, TOKEN]["spec"]["matchResources"] = match
    assert listed(items).missing() == ()


@pytest.mark.parametrize("plural", [POLICIES, BINDINGS])
def test_what_is_being_deleted_is_not_in_force(plural: str) -> None:
    """A finalizer can hold a policy that refuses nothing any more."""
    items = installed()
    items[plural, TOKEN]["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    (found,) = listed(items).missing()
    assert "it is being deleted" in found


def test_a_deletion_is_noticed_and_that_of_a_predecessor_is_not() -> None:
    """What was deleted and made anew under its name is there; a late event about the old one changes nothing."""
    guards = listed()
    old = copy.deepcopy(installed()[POLICIES, TOKEN])
    old["metadata"]["uid"] = "older"
    guards.lose(POLICIES, old)
    assert guards.missing() == ()
    guards.lose(POLICIES, installed()[POLICIES, TOKEN])
    assert guards.missing() == (f"{TOKEN}: it is not installed",)
    guards.see(POLICIES, installed()[POLICIES, TOKEN])
    guards.lose(BINDINGS, installed()[BINDINGS, TOKEN])
    assert guards.missing() == (f"{TOKEN}: it has no binding",)


def test_a_binding_that_is_turned_to_another_policy_leaves_its_own() -> None:
    """Both the policy that it left and the one that it now names are looked at again."""
    guards = listed()
    turned = copy.deepcopy(installed()[BINDINGS, TOKEN])
    turned["spec"]["policyName"] = "tasksession-use"
    guards.see(BINDINGS, turned)
    assert guards.missing() == (f"{TOKEN}: it has no binding",)
    guards.see(BINDINGS, installed()[BINDINGS, TOKEN])
    assert guards.missing() == ()


def test_a_new_listing_replaces_all_that_was_seen() -> None:
    """What a listing does not show is not there, though no event told of its end."""
    guards = listed()
    guards.replace([])
    assert len(guards.missing()) == len(GUARDS)


def test_guards_are_made_of_four_resources() -> None:
    """Policies and bindings of both kinds concern it, and nothing else."""
    assert all(Guards.concerns(plural) for plural, _ in installed())
    assert not Guards.concerns("jobs")


def test_the_newest_part_tells_since_when_guards_are_whole() -> None:
    """Guards are as old as the youngest of their parts; where one is not there, nothing is known."""
    items = installed()
    items[BINDINGS, TOKEN]["metadata"]["creationTimestamp"] = "2026-11-02T00:00:00Z"
    assert listed(items).since(TOKEN, "tasksession-use") == "2026-11-02T00:00:00Z"
    assert listed(items).since("tasksession-use") == "2026-11-01T00:00:00Z"
    del items[POLICIES, TOKEN]
    assert listed(items).since(TOKEN, "tasksession-use") is None


def test_the_values_of_an_installation_can_be_asked_for() -> None:
    """The doctor reads from the guards who the operator is."""
    assert listed().values() == VALUES


def test_asking_again_costs_nothing() -> None:
    """A grant asks for a verdict that is known: a thousand times within a fraction of a second."""
    guards = listed()
    guards.missing()
    started = time.monotonic()
    for _ in range(1000):
        guards.missing()
    assert time.monotonic() - started < 0.2


STAMP = "tasksession-job-stamp"
LATER = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stamping(items: dict[tuple[str, str], Object]) -> Guards:
    """Guards after a full listing, created at CREATED, that know the time."""
    for item in items.values():
        item["metadata"]["creationTimestamp"] = CREATED
    guards = Guards(GUARDS)
    guards.belong_to(OPERATOR, now=lambda: LATER)
    guards.replace((plural, item) for (plural, _), item in items.items())
    return guards


CREATED = "2026-03-01T10:00:00Z"


def test_who_asks_is_known_since_the_youngest_of_the_guards_that_stamp() -> None:
    """A policy or binding that was created anew counts; other guards do not."""
    items = installed()
    assert stamping(items).stamped_since() == datetime(2026, 3, 1, 10, tzinfo=UTC)
    guards = stamping(items)
    for name, moment in ((STAMP, "2026-03-01T11:00:00Z"), (TOKEN, "2026-03-01T11:30:00Z")):
        item = copy.deepcopy(items[BINDINGS, name])
        item["metadata"].update(creationTimestamp=moment)
        guards.see(BINDINGS, item)
    assert guards.stamped_since() == datetime(2026, 3, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize("seen_by", ["the watch", "the sweep"])
def test_who_asks_is_not_known_of_a_time_in_which_a_guard_was_weakened(seen_by: str) -> None:
    """A guard that was changed in place and mended keeps its age: when it was mended is what counts."""
    items = installed()
    guards = stamping(items)
    weakened = copy.deepcopy(items[POLICIES, STAMP])
    weakened["spec"]["failurePolicy"] = "Ignore"
    for item in (weakened, items[POLICIES, STAMP]):
        if seen_by == "the watch":
            guards.see(POLICIES, item)
        else:
            guards.replace((plural, each) for (plural, _), each in {**items, (POLICIES, STAMP): item}.items())
        guards.missing()
    assert guards.missing() == ()
    assert guards.stamped_since() == LATER


def test_who_asks_is_not_known_without_the_guards_that_stamp() -> None:
    """Before the first listing, and while one of them is not there."""
    assert Guards(GUARDS).stamped_since() is None
    items = installed()
    del items[BINDINGS, STAMP]
    assert stamping(items).stamped_since() is None
