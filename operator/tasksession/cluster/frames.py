"""Takes a watch's stream of bytes apart into events, each within the bounds of an ordinary object.

The streams feed it what arrives. An event is one line: one whose object is too large is scanned as it comes, and never
held as a whole; one whose object is too deep is scanned afterwards. It must never lose its place in the stream.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

from tasksession.api.fragment import LARGEST
from tasksession.cluster.decoding import fragment_of, is_named, object_of, scan
from tasksession.cluster.skeleton import EVENT, Scanner

#: How every event begins; the object follows.
_BEGIN = re.compile(rb'\s*\{"type":"([A-Z]+)","object":')
_END = b"}"
#: What stands around the object of an event, at the most.
_AROUND = 64


class Frames:
    """One stream's events."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._scanner: Scanner | None = None

    async def feed(self, piece: bytes) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Read on, and yield the events that are whole now: their types and their objects."""
        begin = 0
        while (end := piece.find(b"\n", begin)) >= 0:
            await self._take(piece[begin:end])
            begin = end + 1
            event = await self._event()
            if event is not None:
                yield event
        if begin < len(piece):
            await self._take(piece[begin:])

    async def _take(self, part: bytes) -> None:
        self._size += len(part)
        if self._scanner is not None:
            await scan(self._scanner, part)
            return
        self._pieces.append(part)
        if self._size > LARGEST + _AROUND:
            self._scanner = Scanner(EVENT)
            await scan(self._scanner, b"".join(self._pieces))
            self._pieces.clear()

    async def _event(self) -> tuple[str, dict[str, Any]] | None:
        raw, scanner, size = b"".join(self._pieces), self._scanner, self._size
        self._pieces, self._scanner, self._size = [], None, 0
        if scanner is None:
            begin = _BEGIN.match(raw)
            end = raw.rfind(_END)
            if begin is not None and end > begin.end():
                item = await object_of(raw[begin.end() : end])
                return (begin[1].decode(), item) if item is not None and is_named(item) else None
            if not raw.strip():
                return None
            scanner = Scanner(EVENT)
            await scan(scanner, raw)
        found = scanner.found if isinstance(scanner.found, dict) else {}
        item = fragment_of(found.get("object"), size=size)
        kind = found.get("type")
        # Others may go on: what is as large as this may come again and again.
        await asyncio.sleep(0)
        return (kind, item) if isinstance(kind, str) and item is not None and is_named(item) else None
