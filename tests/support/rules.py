"""Random RBAC rules: a ceiling, and rules asked for that are now inside it, now just outside, now anything.

Used by the unit tests of coverage and by the comparison with the API server. Values that people write stand beside
those that look like patterns and are none (`pods/*`), and no list is empty where RBAC forbids it. Ceilings are drawn by
hypothesis, so that a failing one is made small; what is asked of one follows from a number, so that thousands are drawn
in a second and both answers are common.
"""

from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st

from tasksession.api.access import PolicyRule

GROUPS = ("", "apps", "batch")
RESOURCES = (
    "pods", "secrets", "deployments", "pods/log", "pods/*", "pods/", "pods/a/b", "/log",
    "deployments/scale", "replicasets/scale", "*/scale", "*/log", "*/*", "*/a/b", "*/",
)  # fmt: skip
NAMES = ("a", "b", "c", "*")
VERBS = ("get", "list", "create", "patch", "Get")


@dataclass(frozen=True)
class Asked:
    """Rules to compare with a ceiling, and whether they were derived from it."""

    rules: tuple[PolicyRule, ...]
    derived: bool


def rule(
    groups: tuple[str, ...], resources: tuple[str, ...], names: tuple[str, ...], verbs: tuple[str, ...]
) -> PolicyRule:
    """Make a rule."""
    return PolicyRule(api_groups=groups, resources=resources, resource_names=names, verbs=verbs)


def _seldom_all(values: tuple[str, ...]) -> tuple[str, ...]:
    # A star in every other ceiling would cover nearly anything that is asked, and no refusal would be seen.
    return (*values, *values, *values, "*")


_ALL_VALUES = {
    "groups": _seldom_all(GROUPS),
    "resources": _seldom_all(RESOURCES),
    "names": NAMES,
    "verbs": _seldom_all(VERBS),
}


def _values(side: str, *, least: int = 1, most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(_ALL_VALUES[side]), min_size=least, max_size=most).map(tuple)


CEILINGS = st.lists(
    st.builds(
        rule, _values("groups", most=2), _values("resources", most=4), _values("names", least=0), _values("verbs")
    ),
    min_size=1,
    max_size=5,
).map(tuple)


def asked_of(ceiling: tuple[PolicyRule, ...], number: int, count: int) -> list[Asked]:
    """Draw rules to compare with a ceiling: five of six derived from it. The same number draws the same."""
    random = Random(number)  # noqa: S311 - test data has to be repeatable, not secret
    return [_asked_of(ceiling, random) for _ in range(count)]


def _asked_of(ceiling: tuple[PolicyRule, ...], random: Random) -> Asked:
    match random.randrange(6):
        case 0:
            return Asked((_any_rule(random),), derived=False)
        case 1:
            return Asked((_narrowed(ceiling, random),), derived=True)
        case 2:
            return Asked((_narrowed(ceiling, random), _narrowed(ceiling, random)), derived=True)
        case 3:
            return Asked((_merged(ceiling, random),), derived=True)
        case _:
            return Asked((_mutated(ceiling, random),), derived=True)


def _some(values: tuple[str, ...], random: Random) -> tuple[str, ...]:
    return tuple(random.choices(values, k=random.randint(1, 3))) if values else ()


def _any_rule(random: Random) -> PolicyRule:
    groups, resources, names, verbs = (_some(values, random) for values in _ALL_VALUES.values())
    return rule(groups, resources, random.choice((names, ())), verbs)


def _narrowed(ceiling: tuple[PolicyRule, ...], random: Random) -> PolicyRule:
    """Draw a part of one of the ceiling's rules, with a star at times made into a value that it stands for."""
    owner = random.choice(ceiling)

    def part(held: tuple[str, ...], concrete: tuple[str, ...]) -> tuple[str, ...]:
        chosen = _some(held, random)
        return tuple(random.choice(concrete) if value == "*" and random.random() < 0.7 else value for value in chosen)

    resources = part(owner.resources, RESOURCES)
    if random.random() < 0.5:
        resources = tuple(v.replace("*", "deployments", 1) if v.startswith("*/") else v for v in resources)
    names = _some(owner.resource_names or random.choice((NAMES, ())), random)
    return rule(part(owner.api_groups, GROUPS), resources, names, part(owner.verbs, VERBS))


def _mutated(ceiling: tuple[PolicyRule, ...], random: Random) -> PolicyRule:
    """Draw a part of the ceiling with one thing changed, which may lead out of it."""
    inside = _narrowed(ceiling, random)
    sides = {
        "groups": inside.api_groups,
        "resources": inside.resources,
        "names": inside.resource_names,
        "verbs": inside.verbs,
    }
    side = random.choice(list(sides))
    if side == "names" and random.random() < 0.5:
        sides[side] = ()
    else:
        sides[side] = (*sides[side], random.choice(_ALL_VALUES[side]))
    return rule(**sides)


def _merged(ceiling: tuple[PolicyRule, ...], random: Random) -> PolicyRule:
    """Draw one rule that spans parts of two: covered only where the ceiling has all four corners."""
    one, other = _narrowed(ceiling, random), _narrowed(ceiling, random)
    side = random.choice(("groups", "resources", "verbs"))
    return rule(
        one.api_groups + other.api_groups if side == "groups" else one.api_groups,
        one.resources + other.resources if side == "resources" else one.resources,
        one.resource_names,
        one.verbs + other.verbs if side == "verbs" else one.verbs,
    )
