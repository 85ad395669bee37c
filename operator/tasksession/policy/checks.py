"""The single checks that a verdict is made of, each a question about one thing that a policy limits.

Only `evaluation` calls them. Each returns denials, none where all is well, and each denial is one sentence or two: the
cause first, what to do about it second. A check never raises for what a requester wrote.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from tasksession.api import names
from tasksession.api.access import PolicyRule, RoleReference
from tasksession.api.durations import LONGEST_TTL, SHORTEST_TTL, format_duration, parse_duration
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession
from tasksession.api.tracking import tracking_marks
from tasksession.policy import ungrantable
from tasksession.policy.coverage import covers, may_bind, uncovered
from tasksession.policy.facts import Facts
from tasksession.policy.terms import effective_access, rules_hash, ttl_text
from tasksession.policy.wording import describe_roles, describe_rules, listing

#: What helps where the ceiling has what RBAC does not let the operator hand out.
_INSTALL_AGAIN = (
    "the ceiling has it, but its ClusterRoleBinding is missing or was changed; have the chart installed again."
)

_SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


class DenialKind(StrEnum):
    """What a denial is about."""

    REQUESTER = "Requester"
    USE = "Use"
    SUSPENDED = "Suspended"
    NAMESPACE = "Namespace"
    TASK = "Task"
    TOKEN = "Token"  # noqa: S105 - a word, not a secret
    TIME = "Time"
    TOMBSTONE = "Tombstone"
    CONDITION = "Condition"
    ACCESS = "Access"
    CEILING = "Ceiling"
    UNGRANTABLE = "Ungrantable"
    ROLE_CHANGED = "RoleChanged"


@dataclass(frozen=True, slots=True)
class Denial:
    """One reason against a session, in words for its requester."""

    kind: DenialKind
    message: str


def requester(session: TaskSession) -> Iterator[Denial]:
    """Deny a session that nobody is known to have asked for, and one that another session asked for."""
    asking = session.spec.requester
    if asking is None or not asking.username:
        yield Denial(
            DenialKind.REQUESTER,
            "Nobody is stamped as the requester: have the admission policies of the chart installed, "
            "then create the TaskSession anew.",
        )
        return
    _, prefix, account = asking.username.partition(_SERVICE_ACCOUNT_PREFIX)
    if prefix and names.parse_identity(account.rpartition(":")[2]) is not None:
        yield Denial(
            DenialKind.REQUESTER,
            f"The requester {asking.username} is itself a session, and a session cannot ask for another: "
            "ask as the one who started it.",
        )


def use(session: TaskSession, facts: Facts) -> Iterator[Denial]:
    """Deny where the requester does not hold the verb `use` on the policy here."""
    if not facts.may_use:
        who = session.spec.requester.username if session.spec.requester is not None else "The requester"
        yield Denial(
            DenialKind.USE,
            f"{who} may not use SessionPolicy {session.spec.policy} in namespace {facts.namespace.name}: "
            f"have the verb use on it granted there.",
        )


def suspension(policy: SessionPolicy) -> Iterator[Denial]:
    """Deny under a suspended policy."""
    if policy.spec.suspended:
        yield Denial(
            DenialKind.SUSPENDED,
            f"SessionPolicy {policy.metadata.name} is suspended: ask its owner when it will be in force again.",
        )


def namespace(policy: SessionPolicy, facts: Facts) -> Iterator[Denial]:
    """Deny where the policy is not for this namespace, or no session may be in it."""
    here = facts.namespace
    if facts.excluded:
        yield Denial(
            DenialKind.NAMESPACE,
            f"No session may be in namespace {here.name}, it is excluded at installation: ask in another namespace.",
        )
    wanted = policy.spec.namespaces
    named = wanted.names is None or here.name in wanted.names
    labels = here.labels or {}
    labelled = all(labels.get(key) == value for key, value in (wanted.match_labels or {}).items())
    # A policy that says nothing about namespaces is for none.
    selects = wanted.names is not None or wanted.match_labels is not None
    if here.labels is None or not (selects and named and labelled):
        hint = ""
        if wanted.names:
            hint = f" Namespaces it is for: {listing(wanted.names)}."
        elif wanted.match_labels:
            hint = f" It is for those labelled {listing(f'{k}={v}' for k, v in sorted(wanted.match_labels.items()))}."
        yield Denial(
            DenialKind.NAMESPACE,
            f"SessionPolicy {policy.metadata.name} is not for namespace {here.name}: ask in another namespace, "
            f"or have the policy changed.{hint}",
        )


def task(session: TaskSession, policy: SessionPolicy) -> Iterator[Denial]:
    """Deny a kind of task that the policy is not for."""
    asked = session.spec.task
    given = [each for each in (asked.job_template, asked.job, asked.external) if each is not None]
    if len(given) != 1:
        yield Denial(DenialKind.TASK, "spec.task names no single task: set exactly one of jobTemplate, job, external.")
        return
    kind = "External" if asked.external is not None else "Job"
    if kind not in policy.spec.tasks:
        yield Denial(
            DenialKind.TASK,
            f"SessionPolicy {policy.metadata.name} is not for tasks of the kind {kind}, only for "
            f"{listing(policy.spec.tasks)}: ask under another policy.",
        )


def token(session: TaskSession, policy: SessionPolicy) -> Iterator[Denial]:
    """Deny audiences and ways of delivery that the policy does not allow."""
    options = session.spec.token
    name = policy.metadata.name
    refused = [each for each in (options.audiences or () if options else ()) if each not in policy.spec.audiences]
    if refused:
        allowed = f"only {listing(policy.spec.audiences)}" if policy.spec.audiences else "none but the API server"
        yield Denial(
            DenialKind.TOKEN,
            f"SessionPolicy {name} does not allow the audience {listing(refused)}, {allowed}: "
            "change spec.token.audiences, or have the policy changed.",
        )
    if session.spec.task.external is None:
        return
    delivery = (options.delivery if options else None) or "TokenRequest"
    if delivery not in policy.spec.delivery:
        yield Denial(
            DenialKind.TOKEN,
            f"SessionPolicy {name} does not allow the delivery {delivery}, only {listing(policy.spec.delivery)}: "
            "change spec.token.delivery.",
        )


def time(session: TaskSession, policy: SessionPolicy, facts: Facts) -> Iterator[Denial]:
    """Deny a session that would last too long or not at all. Its ttl is never cut to what is allowed."""
    not_after = session.spec.not_after
    if not_after is not None and facts.now >= not_after:
        yield Denial(
            DenialKind.TIME,
            f"spec.notAfter {not_after:%Y-%m-%dT%H:%M:%SZ} has passed: create a TaskSession with a later one, or none.",
        )
    name = policy.metadata.name
    try:
        longest = parse_duration(policy.spec.max_ttl)
    except ValueError as error:
        yield Denial(DenialKind.TIME, f"The maxTTL of SessionPolicy {name} cannot be read: {error}.")
        return
    source = "spec.ttl" if session.spec.ttl is not None else f"The default ttl of SessionPolicy {name}"
    try:
        asked = parse_duration(ttl_text(session, policy))
    except ValueError as error:
        yield Denial(DenialKind.TIME, f"{source} cannot be read: {error}.")
        return
    if not SHORTEST_TTL <= asked <= LONGEST_TTL:
        bounds = f"{format_duration(SHORTEST_TTL)} to {format_duration(LONGEST_TTL)}"
        yield Denial(DenialKind.TIME, f"{source} is {format_duration(asked)}: a session lasts from {bounds}.")
    elif asked > max(longest, timedelta(0)):
        yield Denial(
            DenialKind.TIME,
            f"{source} is {format_duration(asked)}, and SessionPolicy {name} allows {format_duration(longest)} at "
            "most: ask for less, or have the policy changed.",
        )


def tombstone(session: TaskSession) -> Iterator[Denial]:
    """Deny removal of the finished object where a tool would apply it again, and so be granted the rights again."""
    if session.spec.ttl_seconds_after_finished is None:
        return
    metadata = session.metadata
    found = tracking_marks(metadata.labels, metadata.annotations)
    if found:
        yield Denial(
            DenialKind.TOMBSTONE,
            f"The TaskSession is applied from elsewhere ({listing(found)}), so it must stay when it is over, or it "
            "would be created and granted again: leave spec.ttlSecondsAfterFinished out.",
        )


def conditions(policy: SessionPolicy, facts: Facts) -> Iterator[Denial]:
    """Deny where a condition of the policy does not hold, could not be decided, or was not asked."""
    answers = {answer.name: answer for answer in facts.condition_answers}
    for condition in policy.spec.conditions:
        answer = answers.get(condition.name)
        if answer is not None and answer.holds and answer.problem is None:
            continue
        text = f"Condition {condition.name} of SessionPolicy {policy.metadata.name}"
        if answer is None:
            yield Denial(DenialKind.CONDITION, f"{text} was not evaluated, so it counts as not met.")
        elif answer.problem is not None:
            text = f"{text} could not be decided, so it counts as not met ({answer.problem}): have the policy mended."
            yield Denial(DenialKind.CONDITION, text)
        else:
            why = condition.message or "change the TaskSession so that its expression is true, or have it changed"
            yield Denial(DenialKind.CONDITION, f"{text} is not met: {_sentence(why)}")


def nothing_asked(session: TaskSession, policy: SessionPolicy) -> Denial:
    """Deny a session without any rights."""
    why = "and the policy has no defaults.access" if session.spec.access is None else "spec.access is empty"
    return Denial(
        DenialKind.ACCESS,
        f"The TaskSession asks for nothing, {why}: name roles or rules in spec.access, "
        f"of those that SessionPolicy {policy.metadata.name} allows.",
    )


def roles(asked: tuple[RoleReference, ...], policy: SessionPolicy, facts: Facts) -> Iterator[Denial]:
    """Deny roles that the policy does not list by kind and name, that do not exist, or that no session may have."""
    allowed = set(policy.spec.access.roles)
    name = policy.metadata.name
    unlisted = [role for role in asked if role not in allowed]
    if unlisted:
        shown = describe_roles(policy.spec.access.roles)
        instead = f"ask for one of {shown}, or have" if allowed else "it allows none, so ask for rules or have"
        yield Denial(
            DenialKind.ACCESS,
            f"{describe_roles(unlisted)}: not among the roles that SessionPolicy {name} allows; {instead} "
            "the policy changed.",
        )
    listed = [role for role in asked if role in allowed]
    unreadable = [role for role in listed if facts.roles[role].problem]
    for role in unreadable:
        yield Denial(
            DenialKind.ACCESS,
            f"{describe_roles([role])}: not read, because {facts.roles[role].problem}; ask for a smaller role.",
        )
    absent = [role for role in listed if not facts.roles[role].exists and role not in unreadable]
    if absent:
        yield Denial(
            DenialKind.ACCESS,
            f"{describe_roles(absent)}: no such role exists for namespace {facts.namespace.name}; have it created "
            "first, then create the TaskSession anew.",
        )
    there = [role for role in listed if facts.roles[role].exists]
    yield from _ungrantable_roles(there, facts)
    beyond = [role for role in there if not _within_ceiling(role, facts)]
    if beyond:
        where = sorted({"ceiling.clusterRoles" if role.kind == "ClusterRole" else "ceiling.rules" for role in beyond})
        yield Denial(
            DenialKind.CEILING,
            f"{describe_roles(beyond)}: beyond the operator's ceiling; have {' and '.join(where)} of the chart "
            "widened, or ask for another.",
        )
    unbindable = [
        role
        for role in there
        if role not in beyond
        and not may_bind(facts.own_rules, role, facts.roles[role].rules, has_urls=facts.roles[role].has_urls)
    ]
    if unbindable:
        yield Denial(
            DenialKind.CEILING,
            f"{describe_roles(unbindable)}: beyond what the operator itself may bind in namespace "
            f"{facts.namespace.name}; {_INSTALL_AGAIN}",
        )


def _within_ceiling(role: RoleReference, facts: Facts) -> bool:
    """Whether sessions may have a role: a ClusterRole by its name, and a Role, which others may write, by its rules."""
    if role.kind == "ClusterRole":
        return role.name in facts.ceiling.cluster_roles
    fact = facts.roles[role]
    return fact.rules is not None and not fact.has_urls and covers(facts.ceiling.rules, fact.rules)


def _ungrantable_roles(roles: list[RoleReference], facts: Facts) -> Iterator[Denial]:
    for role in roles:
        found = list(ungrantable.in_role(facts.roles[role].rules or ()))
        if found:
            yield Denial(
                DenialKind.UNGRANTABLE,
                f"{describe_roles([role])} has {describe_rules([rule for rule, _ in found])}, and {found[0][1]}: "
                "ask for a role without it.",
            )


def rules(asked: tuple[PolicyRule, ...], policy: SessionPolicy, facts: Facts) -> Iterator[Denial]:
    """Deny rules that the policy's own rules or the ceiling do not cover, or that no session may have."""
    outside = uncovered(policy.spec.access.rules, asked)
    if outside:
        yield Denial(
            DenialKind.ACCESS,
            f"SessionPolicy {policy.metadata.name} does not allow {describe_rules(outside)}: "
            "ask for less, or have the policy changed.",
        )
    for rule, reason in ungrantable.in_rules(asked):
        yield Denial(
            DenialKind.UNGRANTABLE,
            f"No session is granted {describe_rules([rule])}, for {reason}: leave it out of the rules.",
        )
    beyond = uncovered(facts.ceiling.rules, asked)
    if beyond:
        yield Denial(
            DenialKind.CEILING,
            f"The operator's ceiling does not have {describe_rules(beyond)}: have it added (ceiling.rules of the "
            "chart), or ask for less.",
        )
        return
    unheld = uncovered(facts.own_rules, asked)
    if unheld:
        yield Denial(
            DenialKind.CEILING,
            f"The operator itself does not hold {describe_rules(unheld)} in namespace {facts.namespace.name}, so it "
            f"cannot grant that: {_INSTALL_AGAIN}",
        )


def granted_roles(session: TaskSession, facts: Facts) -> Iterator[Denial]:
    """Deny the use of roles that are not what they were when they were bound."""
    for grant in session.status.grants:
        if grant.role is None:
            continue
        fact = facts.roles[grant.role]
        name = f"{grant.role.kind} {grant.role.name}"
        if fact.problem:
            message = f"{name} changed while the session was active: it is not read any more, because {fact.problem}."
            yield Denial(DenialKind.ROLE_CHANGED, message)
        elif not fact.exists:
            yield Denial(DenialKind.ROLE_CHANGED, f"{name} was deleted while the session was active.")
        elif fact.rules_hash != grant.rules_hash:
            yield Denial(DenialKind.ROLE_CHANGED, f"The rules of {name} changed while the session was active.")


def granted_rules(session: TaskSession, policy: SessionPolicy, facts: Facts) -> Iterator[Denial]:
    """Deny inline rules that are not covered any more.

    Rules that came from the policy's defaults are known by their hash alone: once the defaults are others, nothing
    shows that the old ones are still allowed.
    """
    grant = next((grant for grant in session.status.grants if grant.role is None), None)
    if grant is None:
        return
    access = effective_access(session, policy)
    asked = access.rules if access is not None else ()
    if rules_hash(asked) != grant.rules_hash:
        yield Denial(
            DenialKind.ACCESS,
            f"The rules in defaults.access of SessionPolicy {policy.metadata.name}, which this session was granted, "
            "were changed.",
        )
        return
    yield from rules(asked, policy, facts)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
