"""What the doctor judges by: objects as they were listed, or why they were not.

Filled by the collector, read by the checks. An `Unread` is never an empty listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasksession.doctor.finding import Area, Finding, Severity, unchecked

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read. `reason` is a sentence, empty where nobody asked for it."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object of which only the name is known, and why."""

    kind: str
    subject: str
    """The namespace, where it has one, and the name."""
    problem: str


NOT_ASKED = Unread()

Listing = tuple[Object, ...] | Unread


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A look at the Lease in the operator's namespace: None where it does not exist, and the API server's time then."""

    namespace: str
    lease: Object | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was read. Of each kind the objects of the whole cluster, or of `only` where that names any."""

    guards: tuple[tuple[str, Object], ...] | Unread = NOT_ASKED
    """Policies and bindings with our label, each with the plural of its kind."""
    definitions: Mapping[str, Object | None] | Unread = NOT_ASKED
    """Our definitions by name; None for one that does not exist."""
    admission_resources: tuple[str, ...] | Unread = NOT_ASKED
    """What the API server serves of admissionregistration.k8s.io/v1."""
    api_servers: Listing = NOT_ASKED
    """Pods of the API server, where the cluster runs it in pods of its own; none where nobody can see it."""
    cluster_roles: Listing = NOT_ASKED
    cluster_role_bindings: Listing = NOT_ASKED
    roles: Listing = NOT_ASKED
    role_bindings: Listing = NOT_ASKED
    namespaces: Listing = NOT_ASKED
    policies: Listing = NOT_ASKED
    sessions: Listing = NOT_ASKED
    jobs: Listing = NOT_ASKED
    """Jobs that bear marks of ours, timers among them."""
    cron_jobs: Listing = NOT_ASKED
    service_accounts: Listing = NOT_ASKED
    """Those of sessions."""
    lease: SeenLease | Unread = NOT_ASKED
    """The Lease that the operator at work renews."""
    operator_user: str | None = None
    """Who asks, where that is the operator itself."""
    own_rules: Listing = NOT_ASKED
    """The operator's rules by its own account, where it asks itself."""
    unreadable: tuple[Unreadable, ...] = ()
    """Objects that are in none of the listings, since they are too large or too deep to be read."""
    only: tuple[str, ...] = ()
    """The namespaces to look at; empty: all in which sessions may be."""


def items(listing: Listing) -> tuple[Object, ...]:
    """The objects of a listing; none where it could not be read, which `gaps` has to report."""
    return () if isinstance(listing, Unread) else listing


def gaps(area: Area, listings: Mapping[str, object]) -> list[Finding]:
    """A finding for each listing that was asked for and could not be read."""
    return [
        unchecked(area, subject, listing.reason)
        for subject, listing in listings.items()
        if isinstance(listing, Unread) and listing.reason
    ]


_AREAS = {
    "TaskSession": Area.SESSIONS,
    "ServiceAccount": Area.SESSIONS,
    "Job": Area.JOBS,
    "CronJob": Area.JOBS,
    "Role": Area.PEOPLE,
    "RoleBinding": Area.PEOPLE,
    "ClusterRole": Area.PEOPLE,
    "ClusterRoleBinding": Area.PEOPLE,
}


def check_unreadable(facts: Facts) -> list[Finding]:
    """A finding for each object that nothing can be said of."""
    advice = "What it grants or asks for was not looked at: make it smaller, or examine it with kubectl."
    return [
        Finding(
            _AREAS.get(each.kind, Area.CLUSTER),
            Severity.UNCHECKED,
            f"{each.kind} {each.subject}",
            f"Could not be checked: {each.problem}.",
            advice,
        )
        for each in facts.unreadable
    ]


def name_of(item: Object) -> str:
    """The name of an object."""
    return str(item["metadata"]["name"])


def namespace_of(item: Object) -> str:
    """The namespace of an object, empty for one without."""
    return str(item["metadata"].get("namespace") or "")


def texts(item: Object, field: str) -> Mapping[str, str]:
    """The labels or annotations of an object."""
    found: Mapping[str, str] = item.get("metadata", {}).get(field) or {}
    return found
