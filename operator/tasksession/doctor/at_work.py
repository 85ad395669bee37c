"""Checks whether an operator works at all, by the Lease that the one at work renews.

Pure; the examination and the `check` command call it. Time is the API server's, never that of the machine that asks.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tasksession.doctor.facts import Facts, Object, Unread, gaps
from tasksession.doctor.finding import Area, Finding, Severity

#: The chart's name for the Lease.
LEASE = "tasksession-operator"
#: Seconds without a renewal after which nobody works: three times what a standby waits before it takes over.
_LIMIT = 45.0

_LOOK = (
    "Look at its Deployment: kubectl get deployments,pods --namespace {}. A pod that waits for its image needs it "
    "built, loaded or pushed; one that ends says why in its log."
)


def check_at_work(facts: Facts) -> list[Finding]:
    """An operator has renewed its Lease a moment ago."""
    area = Area.WORK
    if isinstance(facts.lease, Unread):
        return gaps(area, {"The operator's Lease": facts.lease})
    seen = facts.lease
    subject, advice = f"Lease {seen.namespace}/{LEASE}", _LOOK.format(seen.namespace)
    if seen.lease is None:
        problem = "It does not exist: no operator has ever worked here, or one runs without a Lease, outside of a pod."
        return [Finding(area, Severity.WARNING, subject, problem, advice)]
    problem = _stale(seen.lease.get("spec") or {}, seen.now)
    return [Finding(area, Severity.FAILURE, subject, problem, advice)] if problem else []


def _stale(spec: Object, now: datetime) -> str:
    """Why nobody works, by a Lease; empty where somebody does."""
    renewed = _moment(spec.get("renewTime"))
    holder = str(spec.get("holderIdentity") or "")
    what = "So nothing is granted, and rights whose task has ended stay until their deadline."
    if renewed is None:
        return f"No operator works: it says nothing of when it was renewed. {what}"
    # A time ahead of the API server's is none of a renewal either.
    if abs((now - renewed).total_seconds()) <= _LIMIT:
        return ""
    who = f"{holder} renewed it last" if holder else "the last one has given it up, which it renewed last"
    times = f"at {renewed:%Y-%m-%dT%H:%M:%SZ}, and the API server's time is {now:%Y-%m-%dT%H:%M:%SZ}"
    return f"No operator works: {who} {times}. {what}"


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
