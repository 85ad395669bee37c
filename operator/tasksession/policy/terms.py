"""What a session comes to under its policy: its access, its length, its deadline, and the hash of a role's rules.

Verdict, re-check and lifecycle build on the same terms, so that what was judged is what is granted. Reading never
raises: where a length of time is malformed, the session gets none, and the verdict says so.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from tasksession.api.access import Access, PolicyRule
from tasksession.api.durations import parse_duration
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession


def effective_access(session: TaskSession, policy: SessionPolicy) -> Access | None:
    """Return the rights a session asks for: its own words, else the policy's defaults; None where that is nothing.

    A session that says `access: {}` asks for nothing: it does not get the defaults.
    """
    access = session.spec.access if session.spec.access is not None else policy.spec.defaults.access
    return access if access is not None and (access.roles or access.rules) else None


def ttl_text(session: TaskSession, policy: SessionPolicy) -> str:
    """Return the length a session asks for, as written: its own, else the policy's default, else its maxTTL."""
    if session.spec.ttl is not None:
        return session.spec.ttl
    return policy.spec.defaults.ttl if policy.spec.defaults.ttl is not None else policy.spec.max_ttl


def effective_ttl(session: TaskSession, policy: SessionPolicy) -> timedelta:
    """Return how long a session asks to last; nothing at all where that cannot be read."""
    try:
        return max(parse_duration(ttl_text(session, policy)), timedelta(0))
    except ValueError:
        return timedelta(0)


def deadline_of(session: TaskSession, policy: SessionPolicy, *, basis: datetime) -> datetime:
    """Return when a session ends at the latest: `basis` plus its ttl, or its notAfter, whichever comes first.

    `basis` is a time stamp of the API server: the TaskSession's creation, or the last approval it needed. The result
    has whole seconds, cut, so that anyone who computes it at any time gets the same.
    """
    deadline = basis + effective_ttl(session, policy)
    if session.spec.not_after is not None:
        deadline = min(deadline, session.spec.not_after)
    return deadline.replace(microsecond=0)


def rules_hash(rules: Iterable[PolicyRule]) -> str:
    """Return the SHA-256 of a role's rules in hexadecimal; their order, and that of their values, does not count.

    Aggregated roles are put together anew, in another order, whenever one of their parts changes.
    """
    canonical = sorted(
        {
            json.dumps(
                [sorted(set(values)) for values in (rule.api_groups, rule.resources, rule.resource_names, rule.verbs)]
            )
            for rule in rules
        }
    )
    return hashlib.sha256("\n".join(canonical).encode()).hexdigest()
