"""The guard on what the operator hands out says what the verdict says, and says it at any size in time.

The guard is copied from the chart, rendered with ceilings of its own, for users who hold everything: so RBAC says yes
to all, and the guard alone decides.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml
from hypothesis import Phase, given, seed, settings

from tasksession.api.access import PolicyRule
from tasksession.policy.coverage import covers
from tests.cluster import Api, ApiError, Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.installation import render
from tests.support.rules import CEILINGS, asked_of, rule
from tests.support.scene import Scene

_ROOT = "/apis/admissionregistration.k8s.io/v1"
_GUARD = "tasksession-operator-ceiling"
_CEILINGS = 6
_ASKED_OF_EACH = 50


def without_wildcards(ceiling: tuple[PolicyRule, ...]) -> tuple[PolicyRule, ...]:
    """Put a word in place of each star: the chart takes none."""
    return tuple(
        rule(
            tuple(value.replace("*", "starred") for value in each.api_groups),
            tuple(value.replace("*", "starred") for value in each.resources),
            tuple(value.replace("*", "starred") for value in each.resource_names),
            tuple(value.replace("*", "starred") for value in each.verbs),
        )
        for each in ceiling
    )


def manifest(each: PolicyRule) -> Object:
    """Write a rule as in a Role, and as in the chart's values."""
    written: Object = each.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return written


def guard_for(cluster: Cluster, user: str, ceiling: tuple[PolicyRule, ...]) -> Object:
    """Return the guard's spec under a ceiling, for a user in the operator's place."""
    values = {"ceiling": {"rules": [manifest(each) for each in ceiling]}}
    rendered = yaml.safe_load_all(render(cluster, values=values))
    found: Object = next(
        item
        for item in rendered
        if item and item["kind"] == "ValidatingAdmissionPolicy" and item["metadata"]["name"] == _GUARD
    )
    condition = {"name": "operator", "expression": f"request.userInfo.username == '{user}'"}
    return {**found["spec"], "matchConditions": [condition]}


@contextmanager
def guarded_by(cluster: Cluster, scene: Scene, ceilings: dict[str, tuple[PolicyRule, ...]]) -> Iterator[None]:
    """Have the guard in force for each user, with the ceiling that is theirs."""
    api = cluster.api
    paths = []
    try:
        for user, ceiling in ceilings.items():
            policy = {"metadata": {"name": user}, "spec": guard_for(cluster, user, ceiling)}
            binding = {"metadata": {"name": user}, "spec": {"policyName": user, "validationActions": ["Deny"]}}
            for kind, body in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
                api.create(f"{_ROOT}/{kind}", body)
                paths.append(f"{_ROOT}/{kind}/{user}")
        beyond = (rule(("nobody.example.com",), ("nothings",), (), ("get",)),)
        for user in ceilings:
            wait_for(lambda: not grants(api, user, scene, beyond), timeout=15, what=f"the guard of {user}")  # noqa: B023
        yield
    finally:
        for path in reversed(paths):
            api.delete(path)


def grants(admin: Api, user: str, scene: Scene, rules: tuple[PolicyRule, ...]) -> bool:
    """Whether a user, who holds everything, may write a Role with these rules: a dry run."""
    body = {"metadata": {"name": "asked"}, "rules": [manifest(each) for each in rules]}
    try:
        admin.as_user(user, groups=["system:masters"]).create(scene.rbac("roles"), body, dryRun="All")
    except ApiError as error:
        if error.status == 403 and "its rules go beyond ceiling.rules" in error.message:
            return False
        raise
    return True


def drawn() -> list[tuple[PolicyRule, ...]]:
    """Draw ceilings, the same ones each time."""
    found: list[tuple[PolicyRule, ...]] = []

    @seed(20261128)
    @settings(max_examples=_CEILINGS * 4, database=None, deadline=None, phases=[Phase.generate])
    @given(CEILINGS)
    def draw(ceiling: tuple[PolicyRule, ...]) -> None:
        found.append(without_wildcards(ceiling))

    draw()
    return sorted(dict.fromkeys(found), key=len)[-_CEILINGS:]


def test_the_guard_agrees_with_the_verdict(guarded_cluster: Cluster, scene: Scene) -> None:
    """On random rules the guard refuses what is not covered by the ceiling, and nothing else."""
    ceilings = {f"holder-{number}": ceiling for number, ceiling in enumerate(drawn())}
    verdicts: Counter[bool] = Counter()
    with guarded_by(guarded_cluster, scene, ceilings):
        for user, ceiling in ceilings.items():
            for asked in asked_of(ceiling, len(verdicts), _ASKED_OF_EACH):
                allowed = grants(guarded_cluster.api, user, scene, asked.rules)
                assert covers(ceiling, asked.rules) is allowed, f"asked for {asked.rules} under {ceiling}"
                verdicts[allowed] += 1
    print(f"{verdicts[True]} allowed, {verdicts[False]} refused")  # noqa: T201 - shown where the test fails
    assert min(verdicts.values()) >= 0.2 * verdicts.total(), "both verdicts have to be common"


def test_a_ceiling_without_rules_grants_none(guarded_cluster: Cluster, scene: Scene) -> None:
    """Under a ceiling without rules a Role may have none."""
    asked = rule(("",), ("pods",), (), ("get",))
    with guarded_by(guarded_cluster, scene, {"holder-none": ()}):
        assert not grants(guarded_cluster.api, "holder-none", scene, (asked,))
        assert grants(guarded_cluster.api, "holder-none", scene, ())


@pytest.mark.parametrize("split", [False, True], ids=["whole rules", "rules cut in two"])
def test_a_large_ceiling_is_judged_in_time(guarded_cluster: Cluster, scene: Scene, split: bool) -> None:
    """Sixty-four rules within a ceiling of sixty-four stay within what an expression may cost, and take no time to see.

    Where no single rule of the ceiling has all that one asks, each verb and name is looked up by itself.
    """
    words = [f"word{number}" for number in range(8)]
    asked = tuple(
        rule((f"group{number}.example.com",), tuple(words), tuple(words), tuple(words)) for number in range(64)
    )
    halves = (words[:4], words[4:]) if split else (words,)
    ceiling = tuple(each.model_copy(update={"verbs": tuple(verbs)}) for each, verbs in itertools.product(asked, halves))
    with guarded_by(guarded_cluster, scene, {"holder-large": ceiling}):
        begun = time.monotonic()
        assert grants(guarded_cluster.api, "holder-large", scene, asked)
        took = time.monotonic() - begun
        odd = asked[-1].model_copy(update={"verbs": (*words[:-1], "other")})
        assert not grants(guarded_cluster.api, "holder-large", scene, (*asked[:-1], odd))
    print(f"{took * 1000:.0f} ms")  # noqa: T201 - the figure of the decision
    assert took < 5
