"""From bytes to objects, within bounds: nothing here takes more memory, stack or time than an ordinary object may.

The client, the pages of a list and the streams decode through here. People who may write an object may make it
megabytes large and thousands of levels deep, in fields that no schema describes (managedFields, a jobTemplate): what
exceeds the bounds is never decoded, and a Fragment stands for it. It must never raise for what somebody has written.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from pydantic_core import from_json

from tasksession.api.fragment import DEEPEST, LARGEST, Fragment
from tasksession.cluster.skeleton import OBJECT, Scanner

#: How much is scanned at once: what else is to be done waits no longer than that takes.
_SLICE = 1 << 15


_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Content(Protocol):
    """What an answer is read from."""

    async def readany(self) -> bytes:
        """Read what there is; empty at the end."""


#: pydantic's own decoder gives up here, by an error, on every Python; it cannot be told another depth.
_DECODER_DEPTH = 200


def decode(raw: bytes, *, outside: int = 0) -> Any:
    """Decode JSON whose objects are `outside` levels below its root. Raises ValueError: too deep, or no JSON.

    Wrapped into so many lists that the decoder's depth is used up when the object's own is.
    """
    wrapping = _DECODER_DEPTH - DEEPEST - outside
    found = from_json(b"[" * wrapping + raw + b"]" * wrapping, allow_inf_nan=False)
    for _ in range(wrapping):
        found = found[0]
    return found


def decode_object(raw: bytes) -> dict[str, Any] | None:
    """Decode one object; None for one that is not to be decoded, or is none."""
    if len(raw) > LARGEST:
        return None
    try:
        found = decode(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def object_of(raw: bytes) -> dict[str, Any] | None:
    """Decode one object, or make a Fragment of it; None where it is none."""
    found = decode_object(raw)
    if found is not None:
        return found
    scanner = Scanner(OBJECT)
    await scan(scanner, raw)
    return fragment_of(scanner.found, size=len(raw))


async def scan(scanner: Scanner, raw: bytes) -> None:
    """Have all of it read, letting others go on in between.

    However many are to be scanned, there is one slice in each turn of the loop: what ends sessions comes round as soon.
    """
    loop = asyncio.get_running_loop()
    lock = _locks.get(loop)
    if lock is None:
        lock = _locks[loop] = asyncio.Lock()
    for at in range(0, len(raw), _SLICE):
        async with lock:
            scanner.feed(raw[at : at + _SLICE])
            await asyncio.sleep(0)


async def read_object(content: Content, *, text_as: str = "", largest: int = LARGEST) -> dict[str, Any] | None:
    """Read an answer that is one object: decoded, or as a Fragment; None where it is none.

    One that has more than `largest` bytes, at most LARGEST, is not decoded. What is not JSON at all is
    put under `text_as`, where that is given.
    """
    pieces: list[bytes] = []
    scanner: Scanner | None = None
    size = 0
    while piece := await content.readany():
        size += len(piece)
        if scanner is not None:
            await scan(scanner, piece)
            continue
        pieces.append(piece)
        if size > largest:
            scanner = Scanner(OBJECT)
            await scan(scanner, b"".join(pieces))
            pieces.clear()
    if scanner is not None:
        return fragment_of(scanner.found, size=size, largest=largest)
    raw = b"".join(pieces)
    if not raw:
        return {}
    found = await object_of(raw)
    if found is None and text_as:
        return {text_as: raw[:200].decode(errors="replace")}
    return found


def fragment_of(found: Any, *, size: int, largest: int = LARGEST) -> Fragment | None:
    """Make a Fragment of what a scanner found; None where that was no object."""
    return Fragment(found, too_large=size > largest, largest=largest) if isinstance(found, dict) else None


def is_named(item: dict[str, Any] | None) -> bool:
    """Whether an object of a list, or of an event, can be told from others: whoever is given it asks for this first."""
    if not isinstance(item, Fragment):
        return item is not None
    return all(item["metadata"].get(key) for key in ("name", "uid", "resourceVersion"))
