"""Whether one set of RBAC rules contains another, judged as the API server judges it when a Role is created.

Used to hold what a session asks for against its policy's ceiling and against what the operator itself may hand out.
It must never say yes where the API server's escalation check says no. An integration test compares the two on
random rules. Cost is bounded: what would take too long to prove counts as not covered.

A rule asks for every combination of its groups, resources, names and verbs: a box with four sides, of up to millions
of combinations. So combinations are never listed. A side is a set of bits, one for each of its values, and the boxes
that the ceiling's rules cover are cut off until nothing, or something, is left.
"""

from collections.abc import Iterator, Sequence

from tasksession.api.access import PolicyRule, RoleReference

_RBAC_GROUP = "rbac.authorization.k8s.io"
_ALL = "*"
#: How many cuts are made before the rest counts as not covered. Rules that people write take a few dozen; only rules
#: made up to be slow come near it, and they cost about a quarter of a second.
_MOST_CUTS = 20_000
#: How many uncovered rules are returned at most: a person reads the first ones.
_MOST_UNCOVERED = 64

_Box = tuple[int, int, int, int]


def covers(ceiling: Sequence[PolicyRule], asked: Sequence[PolicyRule]) -> bool:
    """Say whether `ceiling` allows all that `asked` would grant."""
    return next(_uncovered(ceiling, asked), None) is None


def uncovered(ceiling: Sequence[PolicyRule], asked: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Return the parts of `asked` that `ceiling` does not allow, as rules that do not overlap; the first 64.

    A rule with an empty list of groups, resources or verbs is returned whole: no Role can hold it.
    """
    found: list[PolicyRule] = []
    for rule in _uncovered(ceiling, asked):
        found.append(rule)
        if len(found) == _MOST_UNCOVERED:
            break
    return found


def may_bind(
    own_rules: Sequence[PolicyRule], role: RoleReference, role_rules: Sequence[PolicyRule] | None, *, has_urls: bool
) -> bool:
    """Say whether a holder of `own_rules` may create a RoleBinding to `role` in the namespace they hold them in.

    RBAC allows it to who holds the verb `bind` on that role, or else all of the role's rules. `role_rules` is None
    where they are not known; with `has_urls` the role has rules on URLs besides, which no holder of rules on
    resources covers.
    """
    resource = "clusterroles" if role.kind == "ClusterRole" else "roles"
    bind = PolicyRule(api_groups=(_RBAC_GROUP,), resources=(resource,), resource_names=(role.name,), verbs=("bind",))
    if covers(own_rules, (bind,)):
        return True
    return role_rules is not None and not has_urls and covers(own_rules, role_rules)


def _uncovered(ceiling: Sequence[PolicyRule], asked: Sequence[PolicyRule]) -> Iterator[PolicyRule]:
    owners = [_Owner(rule) for rule in ceiling]
    cuts = _MOST_CUTS
    for rule in asked:
        sides = _Sides(rule)
        if not (rule.api_groups and rule.resources and rule.verbs):
            yield rule
            continue
        covered = [box for owner in owners if all(box := sides.covered_by(owner))]
        waiting: list[tuple[_Box, list[_Box]]] = [(sides.whole, covered)]
        while waiting:
            box, knives = waiting.pop()
            # Only what overlaps this box can cover any of it; each cut leaves fewer.
            knives = [knife for knife in knives if _overlap(box, knife)]
            if not knives or cuts <= 0:
                yield sides.rule(box)
                continue
            cuts -= 1
            # The one that leaves the fewest pieces comes first: it cuts through the fewest sides.
            knife = min(knives, key=lambda each: _sides_cut(box, each))
            waiting.extend((piece, knives) for piece in _cut_off(box, knife))


class _Owner:
    """A rule of the ceiling, prepared for look-ups."""

    __slots__ = ("groups", "names", "resources", "verbs")

    def __init__(self, rule: PolicyRule) -> None:
        self.groups = frozenset(rule.api_groups)
        self.resources = frozenset(rule.resources)
        self.names = frozenset(rule.resource_names)
        self.verbs = frozenset(rule.verbs)


class _Sides:
    """The four sides of an asked rule, without repeated values; no names at all stands for every name."""

    __slots__ = ("groups", "names", "resources", "verbs", "whole")

    def __init__(self, rule: PolicyRule) -> None:
        self.groups = tuple(dict.fromkeys(rule.api_groups))
        self.resources = tuple(dict.fromkeys(rule.resources))
        self.names = tuple(dict.fromkeys(rule.resource_names))
        self.verbs = tuple(dict.fromkeys(rule.verbs))
        self.whole: _Box = (
            (1 << len(self.groups)) - 1,
            (1 << len(self.resources)) - 1,
            (1 << max(1, len(self.names))) - 1,
            (1 << len(self.verbs)) - 1,
        )

    def covered_by(self, owner: _Owner) -> _Box:
        """Return the part of each side that a rule of the ceiling covers."""
        groups, resources, names, verbs = self.whole
        if _ALL not in owner.groups:
            groups = _bits(value in owner.groups for value in self.groups)
        if _ALL not in owner.resources:
            resources = _bits(_has_resource(owner.resources, value) for value in self.resources)
        if owner.names:
            # A rule that names objects covers nothing of one that asks for all of them.
            names = _bits(value in owner.names for value in self.names)
        if _ALL not in owner.verbs:
            verbs = _bits(value in owner.verbs for value in self.verbs)
        return groups, resources, names, verbs

    def rule(self, box: _Box) -> PolicyRule:
        """Write a part of the asked rule as a rule."""
        groups, resources, names, verbs = box
        return PolicyRule(
            api_groups=_values(self.groups, groups),
            resources=_values(self.resources, resources),
            resource_names=_values(self.names, names),
            verbs=_values(self.verbs, verbs),
        )


def _has_resource(held: frozenset[str], asked: str) -> bool:
    # "*/scale" covers every resource's scale. "pods/*" is no pattern: it is a name like any other.
    _, slash, subresource = asked.partition("/")
    return asked in held or (slash == "/" and f"*/{subresource}" in held)


def _bits(answers: Iterator[bool]) -> int:
    return sum(1 << place for place, answer in enumerate(answers) if answer)


def _values(side: tuple[str, ...], bits: int) -> tuple[str, ...]:
    return tuple(value for place, value in enumerate(side) if bits >> place & 1)


def _overlap(box: _Box, other: _Box) -> bool:
    return bool(box[0] & other[0] and box[1] & other[1] and box[2] & other[2] and box[3] & other[3])


def _sides_cut(box: _Box, knife: _Box) -> int:
    return sum(1 for side, cut in zip(box, knife, strict=True) if side & ~cut)


def _cut_off(box: _Box, knife: _Box) -> Iterator[_Box]:
    """Yield what is left of a box outside another, as boxes that do not overlap: at most one for each side."""
    groups, resources, names, verbs = box
    if outside := groups & ~knife[0]:
        yield outside, resources, names, verbs
    groups &= knife[0]
    if outside := resources & ~knife[1]:
        yield groups, outside, names, verbs
    resources &= knife[1]
    if outside := names & ~knife[2]:
        yield groups, resources, outside, verbs
    names &= knife[2]
    if outside := verbs & ~knife[3]:
        yield groups, resources, names, outside
