"""The API server's audit log, read as it grows: who wrote what in which namespace, and what came of it.

One reader serves all lanes of a control plane. It never trusts the proxy: what was committed is what is counted.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True, slots=True)
class Entry:
    """One write that was answered."""

    user: str
    source: str
    """The client's user agent."""
    verb: str
    resource: str
    name: str
    status: int
    time: str

    @property
    def committed(self) -> bool:
        """Whether it changed anything."""
        return 200 <= self.status < 300


class AuditLog:
    """The writes of every namespace, in the order of their answers. Safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._offset = 0
        self._writes: dict[str, list[Entry]] = defaultdict(list)

    def writes(self, namespace: str) -> list[Entry]:
        """Return the writes in a namespace so far."""
        with self._lock:
            self._read()
            return list(self._writes[namespace])

    def _read(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if any(b'"verb":"%b"' % verb.encode() in line for verb in _WRITES):
                    self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        reference = line.get("objectRef") or {}
        resource = reference.get("resource", "")
        if reference.get("subresource"):
            resource = f"{resource}/{reference['subresource']}"
        entry = Entry(
            user=line["user"]["username"],
            source=str(line.get("userAgent", "")),
            verb=line["verb"],
            resource=resource,
            name=reference.get("name", ""),
            status=int((line.get("responseStatus") or {}).get("code", 0)),
            time=line["requestReceivedTimestamp"],
        )
        self._writes[reference.get("namespace", "")].append(entry)


_COUNTED = ("jobs", "serviceaccounts", "roles", "rolebindings", "secrets", "tasksessions")


def creations_and_deletions(entries: list[Entry]) -> dict[str, int]:
    """Count the creations and the objects deleted, by anybody, by kind; a life's pods are the Job controller's affair.

    Two may delete one object: at the deadline the operator and Kubernetes itself.
    """
    counted: Counter[str] = Counter()
    deleted = set()
    for entry in entries:
        if not entry.committed or entry.resource not in _COUNTED:
            continue
        if entry.verb == "create":
            counted[f"create {entry.resource}"] += 1
        elif entry.verb == "delete" and (entry.resource, entry.name) not in deleted:
            deleted.add((entry.resource, entry.name))
            counted[f"delete {entry.resource}"] += 1
    return dict(sorted(counted.items()))
