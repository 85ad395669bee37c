"""What policy has to know of the cluster before it can judge: the input of the verdict and of the re-check.

The engine looks these up freshly for each session. There are no defaults for what decides: a fact that was not looked
up cannot be left out by accident.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property

from tasksession.api.access import PolicyRule, RoleReference
from tasksession.policy.terms import rules_hash


@dataclass(frozen=True)
class RoleFact:
    """A role as it stands now: its rules, or None where it does not exist, or is not read: `problem` says why.

    `has_urls`: it has rules on URLs besides, which a binding in a namespace does not grant.
    """

    rules: tuple[PolicyRule, ...] | None
    has_urls: bool = False
    problem: str | None = None

    @property
    def exists(self) -> bool:
        """Whether there is such a role."""
        return self.rules is not None

    @cached_property
    def rules_hash(self) -> str | None:
        """The hash of the role's rules; None where it does not exist."""
        return None if self.rules is None else rules_hash(self.rules)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What sessions may have at most: the chart's `ceiling.clusterRoles` and `ceiling.rules`, by default nothing."""

    cluster_roles: frozenset[str] = frozenset()
    rules: tuple[PolicyRule, ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionAnswer:
    """What became of one of the policy's conditions: `problem` says why it could not be decided, and is then no yes."""

    name: str
    holds: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class NamespaceFact:
    """The session's namespace: its labels, or None where it does not exist."""

    name: str
    labels: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about one session that its manifest and its policy do not say.

    `now` is server time. `may_use`: the requester holds the verb `use` on the policy in this namespace. `ceiling`:
    what sessions may have at most. `own_rules`: what the operator itself holds there, for its own work too. `roles`
    has each of `roles_to_look_up`. `active` and `active_per_requester` count the other live sessions of this policy,
    those being granted too. `excluded_namespaces` may hold patterns, with `*` for any characters.
    """

    now: datetime
    namespace: NamespaceFact
    excluded_namespaces: frozenset[str]
    may_use: bool
    ceiling: Ceiling
    own_rules: tuple[PolicyRule, ...]
    roles: Mapping[RoleReference, RoleFact]
    condition_answers: tuple[ConditionAnswer, ...] = ()
    active: int = 0
    active_per_requester: int = 0

    @property
    def excluded(self) -> bool:
        """Whether no session at all may be in this namespace."""
        return any(fnmatchcase(self.namespace.name, pattern) for pattern in self.excluded_namespaces)
