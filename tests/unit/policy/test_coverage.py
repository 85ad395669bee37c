"""Rule coverage: what one set of rules allows of another, as the API server judges it."""

import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksession.api.access import PolicyRule, RoleReference
from tasksession.policy.coverage import covers, may_bind, uncovered
from tests.support.rules import CEILINGS, asked_of, rule

CORE = ("",)
GET = ("get",)


def one(resource: str = "pods", *names: str, verb: str = "get", group: str = "") -> PolicyRule:
    """A rule of one combination."""
    return rule((group,), (resource,), names, (verb,))


@pytest.mark.parametrize(
    ("held", "asked", "covered"),
    [
        (one(), one(), True),
        (one(), one("secrets"), False),
        (one(), one(verb="list"), False),
        (one(), one(group="apps"), False),
        (one("*"), one("secrets"), True),
        (one("*"), one("pods/log"), True),
        (one("*"), one("*"), True),
        (one("pods"), one("*"), False),
        (one("pods"), one("pods/log"), False),
        (one("pods/*"), one("pods/log"), False),
        (one("pods/*"), one("pods/*"), True),
        (one("*/log"), one("pods/log"), True),
        (one("*/log"), one("*/log"), True),
        (one("*/log"), one("pods"), False),
        (one("*/*"), one("pods/log"), False),
        (one("*/b/c"), one("a/b/c"), True),
        (one("*/c"), one("a/b/c"), False),
        (one(verb="*"), one(verb="delete"), True),
        (one(), one(verb="*"), False),
        (one(), one(verb="GET"), False),
        (one(group="*"), one(group="apps"), True),
        (one(group="*"), one(group=""), True),
        (one(), one(group="*"), False),
        (one(), one("pods", "a"), True),
        (one("pods", "a"), one("pods", "a"), True),
        (one("pods", "a"), one("pods", "a", "b"), False),
        (one("pods", "*"), one("pods", "a"), False),
    ],
)
def test_one_rule_against_another(held: PolicyRule, asked: PolicyRule, covered: bool) -> None:
    """Stars stand for all groups, resources, verbs and, before a slash, resources; never for names."""
    assert covers([held], [asked]) is covered


def test_a_rule_for_some_names_does_not_cover_all_names() -> None:
    """An empty list of names means every object there is."""
    assert not covers([one("pods", "a")], [one("pods")])
    assert uncovered([one("pods", "a")], [one("pods")]) == [one("pods")]


def test_nothing_is_covered_by_nothing_and_nothing_asked_is_covered() -> None:
    """The empty ceiling allows nothing but the empty question."""
    assert not covers([], [one()])
    assert covers([], [])


@pytest.mark.parametrize("empty", ["api_groups", "resources", "verbs"])
def test_a_rule_that_no_role_can_hold_is_never_covered(empty: str) -> None:
    """A rule with an empty list grants nothing today, and is refused all the same."""
    everything = rule(("*",), ("*",), (), ("*",))
    malformed = one().model_copy(update={empty: ()})
    assert uncovered([everything], [malformed]) == [malformed]


def test_several_rules_cover_together_what_none_covers_alone() -> None:
    """A rule is covered combination by combination, each by any rule of the ceiling."""
    asked = rule(CORE, ("pods", "secrets"), ("a", "b"), GET)
    ceiling = [one("pods", "a", "b"), one("secrets", "a"), one("secrets", "b")]
    assert covers(ceiling, [asked])
    assert uncovered(ceiling[:2], [asked]) == [one("secrets", "b")]


def test_what_is_not_covered_is_said_in_few_rules() -> None:
    """What is left over keeps its combinations together, for a person to read."""
    asked = rule(CORE, ("pods", "secrets"), (), ("get", "list", "delete"))
    assert uncovered([rule(CORE, ("pods",), (), ("*",))], [asked]) == [rule(CORE, ("secrets",), (), asked.verbs)]


def _combinations(each: PolicyRule) -> set[tuple[str, str, str | None, str]]:
    return set(itertools.product(each.api_groups, each.resources, each.resource_names or (None,), each.verbs))


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(CEILINGS, st.integers(0, 2**32 - 1))
def test_uncovered_is_exactly_what_no_rule_covers(ceiling: tuple[PolicyRule, ...], number: int) -> None:
    """The parts returned do not overlap, and together they are the combinations that no single rule covers."""
    for asked in asked_of(ceiling, number, 5):
        for question in asked.rules:
            parts = [_combinations(part) for part in uncovered(ceiling, [question])]
            left = set().union(*parts)
            assert len(left) == sum(map(len, parts))
            for group, resource, name, verb in _combinations(question):
                single = rule((group,), (resource,), () if name is None else (name,), (verb,))
                alone = any(covers([owner], [single]) for owner in ceiling)
                assert ((group, resource, name, verb) not in left) is alone


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(CEILINGS, CEILINGS, st.integers(0, 2**32 - 1))
def test_asking_for_less_never_turns_yes_into_no(
    ceiling: tuple[PolicyRule, ...], more: tuple[PolicyRule, ...], number: int
) -> None:
    """A part of what is covered is covered, and a wider ceiling covers all that a narrower one does."""
    for asked in asked_of(ceiling, number, 5):
        if covers(ceiling, asked.rules):
            assert covers(ceiling, asked.rules[:1])
            assert covers((*more, *ceiling), asked.rules)
            narrower = [
                each.model_copy(update={"verbs": each.verbs[:1], "resource_names": ("a",)}) for each in asked.rules
            ]
            named = [each for each in asked.rules if not each.resource_names]
            if len(named) == len(asked.rules):
                assert covers(ceiling, narrower)


def _largest(seed: int, share: float) -> PolicyRule:
    choose = random.Random(seed)  # noqa: S311 - test data has to be repeatable, not secret

    def some(letter: str, count: int) -> tuple[str, ...]:
        return tuple(f"{letter}{i}" for i in range(count) if choose.random() < share) or (f"{letter}0",)

    return rule(some("g", 32), some("r", 64), some("n", 128), some("v", 32))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.7, 0.8, 0.9, 0.99])
def test_the_largest_rules_that_the_schema_admits_are_judged_quickly(share: float) -> None:
    """Rules of half a thousand million combinations, made up to be slow, take no seconds."""
    ceiling = [_largest(seed, share) for seed in range(64)]
    asked = [_largest(1000 + seed, 0.95) for seed in range(64)]
    started = time.process_time()
    covers(ceiling, asked)
    assert len(uncovered(ceiling, asked)) <= 64
    # Alone it is well below a second; under a tracer, as when coverage is measured, several times that.
    assert time.process_time() - started < 5


def test_a_ceiling_in_many_pieces_is_still_judged_exactly_at_its_full_size() -> None:
    """A policy of 64 rules that tile everything covers it, and one tile less does not."""
    groups, resources = [f"g{i}" for i in range(32)], [f"r{i}" for i in range(64)]
    names, verbs = tuple(f"n{i}" for i in range(128)), tuple(f"v{i}" for i in range(32))
    tiles = [
        rule(tuple(groups[i : i + 4]), tuple(resources[j : j + 8]), names, verbs)
        for i, j in itertools.product(range(0, 32, 4), range(0, 64, 8))
    ]
    asked = [rule(tuple(groups), tuple(resources), names[i:], verbs) for i in range(64)]
    assert covers(tiles, asked)
    assert uncovered(tiles[1:], asked[:1]) == [tiles[0]]


class TestMayBind:
    """Who may create a RoleBinding: a holder of `bind` on the role, or of all its rules."""

    ROLE = RoleReference(kind="ClusterRole", name="view")
    RULES = (one(), one("secrets"))

    @staticmethod
    def bind(resource: str, *names: str, verb: str = "bind") -> PolicyRule:
        """The right to bind."""
        return one(resource, *names, verb=verb, group="rbac.authorization.k8s.io")

    @pytest.mark.parametrize(
        ("held", "expected"),
        [
            (("clusterroles", "view"), True),
            (("clusterroles",), True),
            (("clusterroles", "edit"), False),
            (("roles", "view"), False),
            (("*",), True),
        ],
    )
    def test_by_the_verb(self, held: tuple[str, ...], expected: bool) -> None:
        """The verb counts for the kind and name it is held on."""
        assert may_bind([self.bind(*held)], self.ROLE, self.RULES, has_urls=False) is expected

    def test_by_holding_the_rules(self) -> None:
        """All rules have to be held, and rules on URLs cannot be."""
        assert may_bind(self.RULES, self.ROLE, self.RULES, has_urls=False)
        assert not may_bind(self.RULES[:1], self.ROLE, self.RULES, has_urls=False)
        assert not may_bind(self.RULES, self.ROLE, self.RULES, has_urls=True)
        assert not may_bind(self.RULES, self.ROLE, None, has_urls=False)

    def test_a_role_is_bound_by_the_verb_on_roles(self) -> None:
        """For a Role, it is the verb on roles that counts."""
        role = RoleReference(kind="Role", name="triage")
        assert may_bind([self.bind("roles", "triage")], role, None, has_urls=True)
        assert not may_bind([self.bind("clusterroles", "triage")], role, None, has_urls=True)
