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
#: How many boxes are looked at before the rest counts as not covered. Rules that people write take some hundreds;
#: only rules made up to be slow come near it, and they cost some tenths of a second.
_MOST_LOOKS = 100_000
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
    looks = _MOST_LOOKS
    for rule in dict.fromkeys(asked):
        if not (rule.api_groups and rule.resources and rule.verbs):
            yield rule
            continue
        sides = _Sides(rule)
        covered = [box for owner in owners if all(box := sides.covered_by(owner))]
        waiting: list[tuple[_Box, list[_Box]]] = [(sides.whole, covered)]
        while waiting:
            box, knives = waiting.pop()
            looks -= len(knives)
            # Only what overlaps this box can cover any of it; each cut leaves fewer.
            knives = _overlapping(box, knives)
            if not knives or looks < 0:
                yield sides.rule(box)
                continue
            knife = _best(box, knives)
            waiting.extend((piece, knives) for piece in _cut_off(box, knife))


class _Owner:
    """A rule of the ceiling, prepared for look-ups."""

    __slots__ = ("groups", "names", "resources", "verbs")

    def __init__(self, rule: PolicyRule) -> None:
        self.groups = frozenset(rule.api_groups)
        self.resources = frozenset(rule.resources)
        self.names = frozenset(rule.resource_names)
        self.verbs = frozenset(rule.verbs)


class _Side:
    """One side of an asked rule: its values without repetition, and a bit for each."""

    __slots__ = ("bits", "values", "whole")

    def __init__(self, values: tuple[str, ...]) -> None:
        self.values = tuple(dict.fromkeys(values))
        self.bits = {value: 1 << place for place, value in enumerate(self.values)}
        self.whole = (1 << max(1, len(self.values))) - 1

    def held(self, values: frozenset[str]) -> int:
        """Return the bits of those values that are among `values`."""
        return sum(self.bits[value] for value in self.bits.keys() & values)

    def those(self, bits: int) -> tuple[str, ...]:
        """Return the values of a set of bits."""
        return tuple(value for value, bit in self.bits.items() if bits & bit)


class _Sides:
    """The four sides of an asked rule. No names at all stands for every name: one bit, and no value."""

    __slots__ = ("groups", "names", "resources", "subresources", "verbs", "whole")

    def __init__(self, rule: PolicyRule) -> None:
        self.groups = _Side(rule.api_groups)
        self.resources = _Side(rule.resources)
        self.names = _Side(rule.resource_names)
        self.verbs = _Side(rule.verbs)
        self.whole: _Box = (self.groups.whole, self.resources.whole, self.names.whole, self.verbs.whole)
        self.subresources: dict[str, int] = {}
        for resource, bit in self.resources.bits.items():
            _, slash, subresource = resource.partition("/")
            if slash:
                # "*/scale" covers every resource's scale. "pods/*" is no pattern: it is a name like any other.
                pattern = f"*/{subresource}"
                self.subresources[pattern] = self.subresources.get(pattern, 0) | bit

    def covered_by(self, owner: _Owner) -> _Box:
        """Return the part of each side that a rule of the ceiling covers."""
        groups, resources, names, verbs = self.whole
        if _ALL not in owner.groups:
            groups = self.groups.held(owner.groups)
        if _ALL not in owner.resources:
            resources = self.resources.held(owner.resources)
            for pattern in self.subresources.keys() & owner.resources:
                resources |= self.subresources[pattern]
        if owner.names:
            # A rule that names objects covers nothing of one that asks for all of them.
            names = self.names.held(owner.names)
        if _ALL not in owner.verbs:
            verbs = self.verbs.held(owner.verbs)
        return groups, resources, names, verbs

    def rule(self, box: _Box) -> PolicyRule:
        """Write a part of the asked rule as a rule."""
        groups, resources, names, verbs = box
        return PolicyRule(
            api_groups=self.groups.those(groups),
            resources=self.resources.those(resources),
            resource_names=self.names.those(names),
            verbs=self.verbs.those(verbs),
        )


def _overlapping(box: _Box, others: list[_Box]) -> list[_Box]:
    groups, resources, names, verbs = box
    return [
        other
        for other in others
        if groups & other[0] and resources & other[1] and names & other[2] and verbs & other[3]
    ]


def _best(box: _Box, knives: list[_Box]) -> _Box:
    """Pick the one that cuts through the fewest sides of a box, and so leaves the fewest pieces."""
    groups, resources, names, verbs = box

    def cuts(knife: _Box) -> int:
        return (
            bool(groups & ~knife[0]) + bool(resources & ~knife[1]) + bool(names & ~knife[2]) + bool(verbs & ~knife[3])
        )

    return min(knives, key=cuts)


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
