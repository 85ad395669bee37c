"""The verdict on a session: may it be granted, and if not, everything that stands against it at once.

The engine gathers the facts, calls `evaluate` before a grant and `recheck` while a session lives; the lifecycle acts
on what they return. Both are pure. They must never turn a missing, malformed or undecided answer into a yes.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from tasksession.api.access import RoleReference
from tasksession.api.conditions import Reason
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tasksession.policy import checks
from tasksession.policy.checks import Denial, DenialKind
from tasksession.policy.facts import Ceiling, ConditionAnswer, Facts, NamespaceFact, RoleFact
from tasksession.policy.terms import deadline_of, effective_access, effective_ttl, rules_hash

__all__ = [
    "Ceiling",
    "ConditionAnswer",
    "Denial",
    "DenialKind",
    "Facts",
    "NamespaceFact",
    "Recheck",
    "RoleFact",
    "Verdict",
    "Wait",
    "deadline_of",
    "effective_access",
    "effective_ttl",
    "evaluate",
    "recheck",
    "roles_to_look_up",
    "rules_hash",
]


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that may still come, and that the session waits for."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy says before a grant: every denial and every wait, each in a sentence.

    `rules_hashes` has the hash of each role that is to be bound, and under None that of the inline rules; it is empty
    unless the verdict allows.
    """

    denials: tuple[Denial, ...]
    waits: tuple[Wait, ...]
    rules_hashes: Mapping[RoleReference | None, str]

    @property
    def allowed(self) -> bool:
        """Whether the session may be granted now."""
        return not self.denials and not self.waits


@dataclass(frozen=True, slots=True)
class Recheck:
    """What policy says of a live session: the reason it has to end for, or None while it may go on."""

    reason: Reason | None
    message: str


#: A live session's denials, in the order in which they are worth telling, and the reason each ends it for.
_ENDS_FOR: tuple[tuple[DenialKind, Reason], ...] = (
    (DenialKind.NAMESPACE, Reason.POLICY_WITHDRAWN),
    (DenialKind.REQUESTER, Reason.USE_LOST),
    (DenialKind.USE, Reason.USE_LOST),
    (DenialKind.ACCESS, Reason.POLICY_NARROWED),
    (DenialKind.CEILING, Reason.POLICY_NARROWED),
    (DenialKind.UNGRANTABLE, Reason.POLICY_NARROWED),
    (DenialKind.TASK, Reason.POLICY_NARROWED),
    (DenialKind.TOKEN, Reason.POLICY_NARROWED),
    (DenialKind.ROLE_CHANGED, Reason.ROLE_CHANGED),
)


def roles_to_look_up(session: TaskSession, policy: SessionPolicy) -> tuple[RoleReference, ...]:
    """Return the roles that `evaluate` and `recheck` need facts of: those the policy lists, and those granted.

    A role that the policy does not list is denied unseen, so that nobody can have the operator look up any role.
    """
    access = effective_access(session, policy)
    asked = access.roles if access is not None else ()
    allowed = set(policy.spec.access.roles)
    granted = [grant.role for grant in session.status.grants if grant.role is not None]
    return tuple(dict.fromkeys([*(role for role in asked if role in allowed), *granted]))


def evaluate(*, session: TaskSession, policy: SessionPolicy, facts: Facts) -> Verdict:
    """Judge a session that is not granted yet. Raises LookupError where a fact about a role is missing."""
    access = effective_access(session, policy)
    denials = [
        *checks.requester(session),
        *checks.use(session, facts),
        *checks.suspension(policy),
        *checks.namespace(policy, facts),
        *checks.task(session, policy),
        *checks.token(session, policy),
        *checks.time(session, policy, facts),
        *checks.tombstone(session),
        *checks.conditions(policy, facts),
    ]
    if access is None:
        denials.append(checks.nothing_asked(session, policy))
    else:
        denials += [
            *checks.roles(access.roles, policy, facts),
            *checks.rules(access.rules, policy, facts),
        ]
    waits = _waits(session, policy, facts)
    hashes: dict[RoleReference | None, str] = {}
    if access is not None and not denials and not waits:
        hashes = {role: found for role in access.roles if (found := facts.roles[role].rules_hash) is not None}
        if access.rules:
            hashes[None] = rules_hash(access.rules)
    return Verdict(denials=tuple(denials), waits=waits, rules_hashes=hashes)


def recheck(*, session: TaskSession, policy: SessionPolicy | None, facts: Facts | None) -> Recheck:
    """Judge a live session again: all but conditions, limits and time, which count at its grant only.

    `policy` is None where it does not exist any more; facts are needed only where it does and is not suspended, so that
    a withdrawal never waits for an answer. What counts is what was granted, not what the policy's defaults would give
    today. Raises LookupError where a fact is missing: no answer never ends a session.
    """
    if policy is None:
        message = f"SessionPolicy {session.spec.policy} does not exist any more."
        return Recheck(Reason.POLICY_WITHDRAWN, message)
    for denial in checks.suspension(policy):
        return Recheck(Reason.POLICY_WITHDRAWN, denial.message)
    if facts is None:
        raise LookupError(f"no facts about {session.metadata.namespace}/{session.metadata.name} were looked up")
    granted = tuple(grant.role for grant in session.status.grants if grant.role is not None)
    denials = [
        *checks.requester(session),
        *checks.use(session, facts),
        *checks.namespace(policy, facts),
        *checks.task(session, policy),
        *checks.token(session, policy),
        *checks.granted_roles(session, facts),
        *checks.roles(tuple(role for role in granted if facts.roles[role].exists), policy, facts),
        *checks.granted_rules(session, policy, facts),
    ]
    for kind, reason in _ENDS_FOR:
        told = [denial.message for denial in denials if denial.kind is kind]
        if told:
            return Recheck(reason, " ".join(told))
    return Recheck(None, "")


def recheck_basis(session: TaskSession) -> Hashable:
    """Return all that `recheck` looks at in a session: where it is the same, the same facts have the same answer."""
    spec = session.spec
    kinds = tuple(each is not None for each in (spec.task.job_template, spec.task.job, spec.task.external))
    grants = tuple((grant.role, grant.rules_hash) for grant in session.status.grants)
    return session.metadata.namespace, spec.policy, spec.requester, kinds, spec.token, spec.access, grants


def _waits(session: TaskSession, policy: SessionPolicy, facts: Facts) -> tuple[Wait, ...]:
    waits = []
    limits = policy.spec.limits
    name = policy.metadata.name
    if limits is not None and limits.active is not None and facts.active >= limits.active:
        message = f"SessionPolicy {name} allows {limits.active} active sessions, and as many are: one has to end first."
        waits.append(Wait(Reason.LIMIT_REACHED, message))
    most = limits.active_per_requester if limits is not None else None
    if most is not None and facts.active_per_requester >= most:
        who = session.spec.requester.username if session.spec.requester is not None else "The requester"
        message = f"{who} has {facts.active_per_requester} active sessions of SessionPolicy {name}, which allows {most}"
        waits.append(Wait(Reason.LIMIT_REACHED, f"{message}: one has to end first."))
    if policy.spec.approval is not None and policy.spec.approval.required > 0:
        required = policy.spec.approval.required
        many = "one approver" if required == 1 else f"{required} approvers"
        message = f"SessionPolicy {name} asks for the approval of {many} other than the requester."
        waits.append(Wait(Reason.AWAITING_APPROVAL, message))
    return tuple(waits)
