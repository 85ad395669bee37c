"""The API server's audit log, read as it grows: who asked for what, and when, by the server's own clock.

What is measured from it costs nothing while it is measured: no observer watches or polls the API server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

#: How often the log is looked at while something is waited for, in seconds.
_INTERVAL = 0.1
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
#: What each line of a patch has: releases and statuses are patches.
PATCH = '"verb":"patch"'
#: Created to ask something: nothing is written.
QUESTIONS = frozenset({"subjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that was answered; times are Unix seconds."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    received: float
    answered: float

    @property
    def writes(self) -> bool:
        """Whether it changed something, or tried to."""
        return self.verb in WRITES and self.resource not in QUESTIONS


class AuditLog:
    """The lines of one audit log from the moment this object is made."""

    def __init__(self, path: Path, *containing: str, check: Callable[[], None] = lambda: None) -> None:
        """Lines without all of the words `containing` are skipped unread: a namespace, a user name.

        To read a line takes processor time, which what is measured may want.

        `check` is called while something is waited for, and raises where that is in vain.
        """
        self._check = check
        self._path = path
        self._words = [each.encode() for each in containing]
        self._offset = path.stat().st_size
        self.entries: list[Entry] = []

    def read(self) -> list[Entry]:
        """Take in what was written since; returns all entries so far."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if all(each in line for each in self._words):
                    self._take(line)
        return self.entries

    def _take(self, line: bytes) -> None:
        entry = json.loads(line)
        if entry.get("stage") != "ResponseComplete":
            return
        reference = entry.get("objectRef") or {}
        resource = reference.get("resource", "")
        if reference.get("subresource"):
            resource = f"{resource}/{reference['subresource']}"
        self.entries.append(
            Entry(
                user=entry["user"]["username"],
                verb=entry["verb"],
                resource=resource,
                namespace=reference.get("namespace", ""),
                name=reference.get("name", ""),
                code=int((entry.get("responseStatus") or {}).get("code", 0)),
                received=_seconds(entry["requestReceivedTimestamp"]),
                answered=_seconds(entry["stageTimestamp"]),
            )
        )

    async def wait(
        self,
        wanted: Callable[[Entry], bool],
        *,
        count: int,
        timeout: float,  # noqa: ASYNC109 - the message says what was waited for
        what: str,
    ) -> list[Entry]:
        """Wait until so many entries are as wanted, and return them."""
        deadline = time.monotonic() + timeout
        seen = 0
        found: list[Entry] = []
        while True:
            entries = self.read()
            found += [entry for entry in entries[seen:] if wanted(entry)]
            seen = len(entries)
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout:g} s for {what}: {len(found)} of {count} came")
            self._check()
            await asyncio.sleep(_INTERVAL)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
