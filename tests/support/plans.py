"""Faults as data: when one happens, and what happens then.

Lives and tests make plans, the proxy carries them out. Nothing here performs I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Traffic(StrEnum):
    """What goes through the proxy, as plans tell it apart."""

    WRITE = "write"
    """POST, PUT, PATCH or DELETE of an object that counts: numbered from 1 in the order of arrival."""
    READ = "read"
    """GET of an object or a collection."""
    ASIDE = "aside"
    """Leases, Events and reviews: apart from a session's life, and not numbered."""
    WATCH = "watch"
    """The opening of a watch."""
    EVENT = "event"
    """One event of a watch, on its way to the operator: numbered from 1."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The `number`-th piece of traffic that fits, and the `times - 1` that fit after it. Empty fields fit anything."""

    traffic: Traffic = Traffic.WRITE
    number: int = 1
    times: int = 1
    verb: str = ""
    """create, update, patch, delete, get, list, watch; of an event ADDED, MODIFIED, DELETED or BOOKMARK."""
    resource: str = ""
    name: str = ""


class Fault(StrEnum):
    """What happens to the piece of traffic that a trigger found."""

    KILL_BEFORE = "SIGKILL before"
    """The operator is killed, and the request never reaches the API server."""
    KILL_AFTER = "SIGKILL after"
    """The request is committed, and the operator is killed before it sees the answer."""
    LOSE_REPLY = "reply lost"
    """The request is committed, and the connection breaks before the answer."""
    TERMINATE = "SIGTERM"
    """The operator is told to stop, and the request goes on."""
    ANSWER = "answer"
    """The proxy answers in the API server's place: nothing is committed."""
    DELAY = "delay"
    """The request waits before it goes on."""
    RESET = "reset"
    """The connection is reset before the request reaches the API server."""
    HANG = "time-out"
    """Nothing is committed and nothing is answered, until the operator gives up."""
    SWALLOW = "swallow"
    """The event is not passed on."""
    STALL = "stall"
    """This watch passes on nothing more, and stays open."""
    END = "end"
    """This watch ends cleanly."""
    GONE = "410"
    """This watch says that its version is too old, and ends."""
    STALE = "stale"
    """A read is answered as it would have been when the proxy was told to remember."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One fault: when, and what. `status`, `reason` and `retry_after` are an answer's, `seconds` a delay's."""

    trigger: Trigger
    fault: Fault
    status: int = 0
    reason: str = ""
    message: str = "the proxy was told to refuse this"
    retry_after: int | None = None
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """Name the fault as tables show it."""
        if self.fault is Fault.ANSWER:
            after = f", Retry-After {self.retry_after} s" if self.retry_after is not None else ""
            return f"{self.status} {self.reason}{after}"
        return str(self.fault)

    def __str__(self) -> str:
        """Name the whole plan, for a person who wants to repeat it."""
        fits = " ".join(part for part in (self.trigger.verb, self.trigger.resource) if part)
        times = f" and the {self.trigger.times - 1} after it" if self.trigger.times > 1 else ""
        return f"{self.title} at {self.trigger.traffic} {fits + ' ' if fits else ''}{self.trigger.number}{times}"
