"""What a request to the API server is about: verb, resource, namespace, name, and which kind of traffic it is.

Called by the proxy for each request. It reads the request line only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.plans import Traffic

_PATH = re.compile(
    r"^/(?:api/v1|apis/[^/]+/[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_ASIDE = ("leases", "events")


@dataclass(slots=True)
class Request:
    """One request. `number` counts the writes, 0 for all others; `status` is None until something was answered."""

    verb: str
    resource: str
    namespace: str
    name: str
    traffic: Traffic
    number: int = 0
    status: int | None = None
    agent: str = ""
    """Who asks, as the User-Agent says: the operator's own client, or kopf's, which watches."""
    arrived: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        """Say it in one line, for a failure's message."""
        return f"{self.number:>2} {self.verb} {self.resource} {self.name} -> {self.status}"


def identify(method: str, path: str, query: Mapping[str, str], *, agent: str = "") -> Request:
    """Read a request line."""
    found = _PATH.match(path)
    parts = found.groupdict(default="") if found else {"resource": path, "namespace": "", "name": "", "subresource": ""}
    resource = parts["resource"] + (f"/{parts['subresource']}" if parts["subresource"] else "")
    if method == "GET":
        watch = query.get("watch") in ("true", "1")
        verb = "watch" if watch else "get" if parts["name"] else "list"
        traffic = Traffic.WATCH if watch else Traffic.READ
    else:
        verb = _VERBS.get(method, method.lower())
        aside = parts["resource"] in _ASIDE or parts["resource"].endswith("reviews")
        traffic = Traffic.ASIDE if aside else Traffic.WRITE
    return Request(verb, resource, parts["namespace"], parts["name"], traffic, agent=agent)
