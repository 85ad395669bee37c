"""A watch's events: each is told of, in order, whatever is in them and wherever the pieces end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasksession.api.fragment import Fragment
from tasksession.cluster.frames import Frames
from tests.unit.cluster.hostile_json import identity, nested, session


def event(kind: str, item: str) -> str:
    """An event as the API server writes it."""
    return f'{{"type":"{kind}","object":{item}}}\n'


STREAM = (
    event("ADDED", session(name="a")),
    event("MODIFIED", session(name="b", managed=nested(5000))),
    event("MODIFIED", session(name="c", spec=json.dumps({"x": "y" * 1_000_000}))),
    event("DELETED", session(name="d", managed="[" + ",".join(["{}"] * 300_000) + "]")),
    event("DELETED", session(name="e")),
    event("BOOKMARK", '{"kind":"TaskSession","apiVersion":"v1","metadata":{"resourceVersion":"99"}}'),
)


async def read(text: bytes, size: int) -> list[tuple[str, dict[str, Any]]]:
    """Read a stream in pieces of one size."""
    frames = Frames()
    found = []
    for at in range(0, len(text), size):
        found += [each async for each in frames.feed(text[at : at + size])]
    return found


@pytest.mark.parametrize("size", [100, 4096, 65_536, 1_000_000, 10_000_000])
async def test_every_event_is_told_of(size: int) -> None:
    """Types, names and versions are right, and what follows a hostile object comes whole."""
    found = await read("".join(STREAM).encode(), size)
    assert [kind for kind, _ in found] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED", "DELETED", "BOOKMARK"]
    for (_, item), name in zip(found, "abcde", strict=False):
        assert identity(item) == ("team", name, f"u-{name}", "42")
    assert [isinstance(item, Fragment) for _, item in found] == [False, True, True, True, False, False]
    assert found[-1][1]["metadata"]["resourceVersion"] == "99"


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_pieces_may_end_anywhere(size: int) -> None:
    """Also single bytes make up events."""
    text = event("ADDED", session(name="a")) + event("MODIFIED", session(name="b", managed=nested(150)))
    found = await read(text.encode(), size)
    assert [(kind, item["metadata"]["name"]) for kind, item in found] == [("ADDED", "a"), ("MODIFIED", "b")]


async def test_what_is_no_event_is_passed_over() -> None:
    """An empty line, or one that is cut off, costs no event but its own."""
    text = "\n" + "{}\n" + '{"type":"ADDED","object":{\n' + event("ADDED", session(name="a"))
    found = await read(text.encode(), 50)
    assert [(kind, item["metadata"].get("name")) for kind, item in found][-1] == ("ADDED", "a")


async def test_an_error_keeps_its_code() -> None:
    """The event by which the API server says that a version is forgotten is understood."""
    gone = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": 410, "reason": "Expired", "message": "old"}
    (found,) = await read(event("ERROR", json.dumps(gone)).encode(), 10)
    assert found == ("ERROR", gone)
