"""Reads a collection page by page, whatever is in it: how many objects a page has follows from how large they are.

`Client.list` hands it out, for the sweep and for the streams. A page is held as bytes, up to a bound; its objects are
decoded together where all of them are ordinary, else one by one, and a Fragment stands for each that may not be. It
must never fail because of what an object holds.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from tasksession.api.fragment import LARGEST
from tasksession.cluster.decoding import Content, decode, fragment_of, is_named, object_of, scan
from tasksession.cluster.errors import Unreachable
from tasksession.cluster.skeleton import LIST, PARTS, Scanner

Object = dict[str, Any]
Ask = Callable[[Sequence[tuple[str, str]]], AbstractAsyncContextManager[aiohttp.ClientResponse]]

#: No more of a page than this is held, in bytes.
_HELD = 4 << 20
#: A page that is decoded as a whole blocks everything else for as long as that takes, and is in memory as a whole.
_WHOLE = 1 << 20
#: What a page may weigh, decoded, about in bytes: `{}` in a page are 2 bytes, and 64 in memory.
_WEIGHT = 24 << 20
#: Pages that are smaller than this are asked for in twice the number of objects.
_SMALL = 512 << 10
_FIRST, _MOST = 100, 500
#: For how long items are handed out before others may go on, in seconds.
_TURN_SECONDS = 0.005
#: What stands before the objects of a list, at the most: nothing of it is theirs.
_HEAD = 4096
#: How the first object of a list begins: the others begin with the same key.
_BEGIN = re.compile(rb'"items":\s*\[\{"(?P<key>\w+)":[{"]')


class PageSize:
    """How many objects of one collection are asked for at once."""

    def __init__(self) -> None:
        self.limit = _FIRST

    def took(self, size: int) -> None:
        """Note how large a page was."""
        if size < _SMALL:
            self.limit = min(2 * self.limit, _MOST)

    def was_too_large(self) -> None:
        """Note that a page was more than is held, or took longer than one waits."""
        self.limit = max(1, self.limit // 4)


class PageSizes:
    """The sizes that have proved to fit, by collection."""

    def __init__(self) -> None:
        self._sizes: dict[str, PageSize] = {}

    def of(self, collection: str) -> PageSize:
        """The size of a collection's pages."""
        return self._sizes.setdefault(collection, PageSize())


class Listing:
    """One reading of a collection, to be iterated over once."""

    def __init__(self, ask: Ask, size: PageSize) -> None:
        self._ask = ask
        self._size = size
        self.resource_version = ""
        """The version of the collection that is listed, once its first page was read."""

    async def __aiter__(self) -> AsyncIterator[Object]:
        token = ""
        while True:
            page = await self._page(token)
            metadata = page.metadata
            self.resource_version = self.resource_version or str(metadata.get("resourceVersion") or "")
            turn = time.monotonic()
            async for item in page:
                yield item
                if time.monotonic() - turn > _TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn = time.monotonic()
            token = metadata.get("continue") or ""
            if not token:
                return

    async def _page(self, token: str) -> _Page:
        while True:
            limit = self._size.limit
            query = [("limit", str(limit)), *([("continue", token)] if token else [])]
            try:
                async with self._ask(query) as response:
                    page = await _read(response.content, alone=limit == 1)
            except Unreachable:
                # It may have been too much to send in time. Whether to ask again is the caller's to say.
                self._size.was_too_large()
                raise
            if page is not None:
                self._size.took(page.size)
                return page
            self._size.was_too_large()


class _Page:
    """A page that was read: its metadata, and its items, decoded or as they came."""

    def __init__(self, metadata: Object, *, size: int, items: Sequence[Object] = (), raw: bytes = b"") -> None:
        self.metadata = metadata
        self.size = size
        self._items = items
        self._raw = raw
        self._spans: Sequence[tuple[int, int]] = ()

    @classmethod
    async def of(cls, raw: bytes) -> _Page:
        """Read a page that is held."""
        found = _decoded_whole(raw)
        if found is not None:
            return cls(found.get("metadata") or {}, size=len(raw), items=found.get("items") or ())
        scanner = Scanner(PARTS)
        await scan(scanner, raw)
        if not isinstance(scanner.found, dict):
            raise Unreachable("a list is not an object")
        page = cls(scanner.found.get("metadata") or {}, size=len(raw), raw=raw)
        page._spans = scanner.found.get("items") or ()
        return page

    async def __aiter__(self) -> AsyncIterator[Object]:
        for item in self._items:
            yield item
        for begin, end in self._spans:
            found = await object_of(self._raw[begin:end])
            if found is not None and is_named(found):
                yield found


async def _read(content: Content, *, alone: bool) -> _Page | None:
    """Read a page; None for one that is larger than what is held, unless an object is `alone` in it."""
    pieces: list[bytes] = []
    size = 0
    while piece := await content.readany():
        size += len(piece)
        pieces.append(piece)
        if size > _HELD:
            return await _read_alone(content, b"".join(pieces)) if alone else None
    raw = b"".join(pieces)
    return await _read_alone(content, raw) if alone and size > LARGEST + _HEAD else await _Page.of(raw)


async def _read_alone(content: Content, begin: bytes) -> _Page:
    scanner = Scanner(LIST)
    await scan(scanner, begin)
    while piece := await content.readany():
        await scan(scanner, piece)
    found = scanner.found
    if not isinstance(found, dict):
        # Without its metadata it would pass for the last page, and what is not on it for gone.
        raise Unreachable("a list is not an object")
    items = []
    for item in found.get("items") or ():
        one = fragment_of(item, size=_HELD)
        if one is not None and is_named(one):
            items.append(one)
    return _Page(found.get("metadata") or {}, size=_HELD, items=items)


def _decoded_whole(raw: bytes) -> Object | None:
    """Decode a page of ordinary objects; None for one in which an object may not be decoded, or where one cannot tell.

    Bytes that look like the end of one object and the beginning of another may stand within an object. Only where there
    are just as many of them as there are ends is it known where the objects end, and so how large they are.
    """
    if len(raw) > _WHOLE or _weight(raw) > _WEIGHT:
        return None
    try:
        found = decode(raw, outside=2)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    items = found.get("items") or ()
    if len(raw) <= LARGEST:
        return found
    begin = _BEGIN.search(raw, 0, _HEAD)
    if begin is None:
        return None
    boundary = b'},{"' + begin["key"] + b'":'
    parts = raw.split(boundary)
    ordinary = len(parts) == len(items) and max(map(len, parts)) + len(boundary) <= LARGEST
    return found if ordinary else None


def _weight(raw: bytes) -> int:
    return len(raw) + 72 * (raw.count(b"{") + raw.count(b"[")) + 30 * raw.count(b'"')
