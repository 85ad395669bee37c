"""Lists are read whatever is in them: every object is told of once, in pages that fit."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import aiohttp
import pytest

from tasksession.api.fragment import LARGEST, Fragment
from tasksession.cluster.errors import Unreachable
from tasksession.cluster.pages import Listing, PageSize
from tests.unit.cluster.hostile_json import LIES, nested, session
from tests.unit.cluster.test_decoding import Body


class Server:
    """A collection, served in pages as the API server does."""

    def __init__(self, items: Sequence[str], *, silent: int = 0) -> None:
        self.items = items
        self.limits: list[int] = []
        self._silent = silent

    @contextlib.asynccontextmanager
    async def ask(self, query: Sequence[tuple[str, str]]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Answer one request for a page."""
        wanted = dict(query)
        limit, begin = int(wanted["limit"]), int(wanted.get("continue", "0"))
        self.limits.append(limit)
        if self._silent:
            self._silent -= 1
            raise Unreachable("it took too long")
        items, end = self.items[begin : begin + limit], begin + limit
        more = f',"continue":"{end}"' if end < len(self.items) else ""
        text = '{"apiVersion":"v1","items":[' + ",".join(items) + '],"metadata":{"resourceVersion":"77"' + more + "}}"
        yield cast(aiohttp.ClientResponse, _Response(Body(text.encode())))


class _Response:
    def __init__(self, content: Body) -> None:
        self.content = content


async def listed(server: Server, size: PageSize | None = None) -> list[dict[str, Any]]:
    """Read the whole collection."""
    listing = Listing(server.ask, size or PageSize())
    found = [item async for item in listing]
    assert listing.resource_version == "77"
    return found


def names(items: Sequence[dict[str, Any]]) -> list[str]:
    """Name the objects, in order."""
    return [item["metadata"]["name"] for item in items]


async def test_ordinary_objects_come_as_they_are() -> None:
    """A thousand small objects come in order, in few pages, and decoded."""
    server = Server([session(name=f"s{number}") for number in range(1000)])
    found = await listed(server)
    assert found == [json.loads(item) for item in server.items]
    assert len(server.limits) <= 5


@pytest.mark.parametrize(
    "hostile",
    [
        nested(5000),
        nested(101),
        "[" + ",".join(["{}"] * 330_000) + "]",
        json.dumps("x" * 1_500_000),
        json.dumps([LIES] * 9000),
    ],
    ids=["deep", "a little too deep", "a flood", "large", "lies"],
)
@pytest.mark.parametrize("step", [1, 7, 20])
async def test_hostile_objects_cost_themselves_only(hostile: str, step: int) -> None:
    """Every object is told of once; those that may not be decoded as fragments, and all others whole."""
    bad = [f"s{number}" for number in range(0, 30, step)]
    server = Server(
        [session(name=name, managed=hostile if name in bad else "[]") for name in (f"s{n}" for n in range(30))]
    )
    found = await listed(server)
    assert names(found) == [f"s{number}" for number in range(30)]
    assert [name for name, item in zip(names(found), found, strict=True) if isinstance(item, Fragment)] == bad


async def test_an_object_that_alone_is_more_than_a_page_is_told_of() -> None:
    """The API server may send more bytes than it stores: nine megabytes for one object."""
    huge = json.dumps("<" * 1_500_000).replace("<", "\\u003c")
    server = Server([session(name="a"), session(name="b", spec='{"x":' + huge + "}"), session(name="c")])
    found = await listed(server)
    assert names(found) == ["a", "b", "c"]
    assert [type(item) for item in found] == [dict, Fragment, dict]
    assert server.limits[-1] == 1


async def test_pages_become_large_again() -> None:
    """After large objects, small ones come in larger and larger pages."""
    large = [session(name=f"l{number}", managed=json.dumps("x" * 1_000_000)) for number in range(8)]
    server = Server([*large, *(session(name=f"s{number}") for number in range(2000))])
    assert len(await listed(server)) == 2008
    assert max(server.limits) == 500
    assert len(server.limits) < 30


async def test_what_was_too_much_to_send_in_time_is_asked_for_in_smaller_pages() -> None:
    """A page that did not come is an error of this reading; the next reading asks for less at once."""
    server = Server([session(name=f"s{number}") for number in range(50)], silent=1)
    size = PageSize()
    with pytest.raises(Unreachable):
        await listed(server, size)
    assert len(await listed(server, size)) == 50
    assert server.limits[1] < server.limits[0]


@pytest.mark.parametrize("boundary", ['"},{"metadata":{"', '"},{"apiVersion":"'])
async def test_an_object_cannot_look_like_two_small_ones(boundary: str) -> None:
    """What looks like the end of one object and the beginning of the next, inside of a large one, deceives nobody."""
    part = json.dumps({"a": "b" * 100_000})
    forged = "[" + ",".join([part, '{"metadata":{}}', part, '{"apiVersion":"v1"}', part]) + "]"
    assert len(forged) > LARGEST
    server = Server([session(name="a", managed=forged), session(name="b")])
    found = await listed(server)
    assert [type(item) for item in found] == [Fragment, dict]
