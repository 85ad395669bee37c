"""What an object is called is known however it is built, and nothing of it is decoded beyond the bounds."""

from __future__ import annotations

import json
import random
import sys
import time
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

from tasksession.api.fragment import DEEPEST, LARGEST, Fragment
from tasksession.cluster.decoding import decode, object_of, read_object
from tasksession.cluster.skeleton import OBJECT, PARTS, Scanner
from tests.unit.cluster.hostile_json import LIES, identity, nested, session

KNOWN = ("team", "one", "u-one", "42")
#: Deeper than the recursion limit of every Python, and as deep as the API server takes it.
DEPTHS = (101, 150, 250, 999, 5000, 9990)


class Body:
    """An answer that comes in pieces of any size."""

    def __init__(self, text: bytes, sizes: Iterable[int] = (1 << 16,)) -> None:
        self._text, self._at, self._sizes = text, 0, list(sizes)

    async def readany(self) -> bytes:
        """Give out the next piece."""
        size = self._sizes[0] if len(self._sizes) == 1 else self._sizes.pop(0)
        self._at += size
        return self._text[self._at - size : self._at]


def hostile_values() -> dict[str, str]:
    """Values that somebody could put into a field that no schema describes."""
    lies: str = json.dumps(LIES)
    flood = "[" + ",".join(["{}"] * 300_000) + "]"
    return {
        **{f"{depth} levels": nested(depth) for depth in DEPTHS},
        "lists in lists": "[" * 5000 + "]" * 5000,
        "a flood of objects": flood,
        "a long text": json.dumps("x" * 900_000),
        "a text of quotes and brackets": json.dumps('"}]{[,' * 60_000),
        "a text of backslashes": json.dumps("\\" * 300_000),
        "lies at every level": '{"metadata":' * 3000 + lies + "}" * 3000,
        "many lies": "[" + ",".join([lies] * 5000) + "]",
        "many keys": json.dumps({f"key-{number}": number for number in range(60_000)}),
        "broad and deep": "[" + ",".join([nested(300)] * 100) + "]",
    }


@pytest.mark.parametrize("what", hostile_values())
@pytest.mark.parametrize("where", ["managed", "spec"])
async def test_who_an_object_is_cannot_be_hidden_or_forged(what: str, where: str) -> None:
    """Whatever is in a field of its author's, names, uid and version are those that the API server gave it."""
    value = hostile_values()[what]
    text = (session(managed=value) if where == "managed" else session(spec=value)).encode()
    item = await read_object(Body(text))
    assert isinstance(item, Fragment)
    assert identity(item) == KNOWN
    assert item["status"]["serviceAccountName"] == "ts-1"
    assert item["spec"]["policy"] == "triage"
    assert item["metadata"]["annotations"] == {"tasksession.dev/problem": "p"}
    assert ("larger" in item.problem) == (len(text) > LARGEST)
    assert "managedFields" not in item["metadata"]
    assert "jobTemplate" not in item["spec"]["task"]


@pytest.mark.parametrize("what", hostile_values())
def test_it_does_not_matter_where_the_pieces_end(what: str) -> None:
    """Read in pieces of any size, also of single bytes around every token, the same is found."""
    text = session(managed=hostile_values()[what]).encode()
    chance = random.Random(7)  # noqa: S311 - not a secret
    for largest in (3, 17, 1000, 100_000):
        scanner = Scanner(OBJECT)
        at = 0
        while at < len(text):
            # Small pieces where the names are, larger ones where they would only take time.
            near = at < 2000 or at > len(text) - 2000
            size = chance.randint(1, largest if near else max(largest, 60_000))
            scanner.feed(text[at : at + size])
            at += size
        assert scanner.done
        assert identity(scanner.found) == KNOWN


async def test_ordinary_objects_are_decoded_as_they_are() -> None:
    """Within the bounds, nothing is left out, and the outcome is that of any other decoder."""
    text = session(managed=nested(DEEPEST - 10), spec=json.dumps(LIES))
    assert await object_of(text.encode()) == json.loads(text)
    assert type(await object_of(text.encode())) is dict


@pytest.mark.parametrize("outside", [0, 1, 2])
def test_the_depth_that_is_decoded_is_the_same_everywhere(outside: int) -> None:
    """An object that is read by itself is read in a list and in an event as well, and one that is not, is not."""
    begin, end = '{"items":' * outside, "}" * outside
    assert decode((begin + nested(DEEPEST) + end).encode(), outside=outside)
    with pytest.raises(ValueError, match="recursion"):
        decode((begin + nested(DEEPEST + 1) + end).encode(), outside=outside)


def test_what_may_be_decoded_can_be_copied_and_written_again() -> None:
    """The depth is far within what Python's own encoder, and the models, take on every version."""
    found = decode(nested(DEEPEST).encode())
    assert json.loads(json.dumps(found, sort_keys=True)) == found
    assert sys.getrecursionlimit() > 2 * DEEPEST


@pytest.mark.parametrize("text", [b"", b"404 page not found\n", b"[1,2]", b'"text"', b"{", b"}}", b"\xff\xfe", b"[]]"])
async def test_what_is_no_object_is_none(text: bytes) -> None:
    """An answer that is not JSON, or not an object, is not taken for one; its words are kept if asked for."""
    found = await read_object(Body(text))
    assert not found
    if text.startswith(b"404"):
        assert await read_object(Body(text), text_as="message") == {"message": "404 page not found\n"}


@pytest.mark.parametrize("large", ["managed", "annotations", "labels"])
async def test_what_is_held_is_bounded_whatever_is_sent(large: str) -> None:
    """Of ten megabytes no more is held than a few pieces, and what is kept of it is small."""
    many = ",".join(f'"k{number}":"{"v" * 20}"' for number in range(300_000))
    text = session(managed="{" + many + "}") if large == "managed" else session().replace(
        '"annotations":{' if large == "annotations" else '"generation":1',
        '"annotations":{' + many + "," if large == "annotations" else '"generation":1,"labels":{' + many + "}",
    )  # fmt: skip
    body = Body(text.encode())
    del text, many
    tracemalloc.start()
    try:
        item = await read_object(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(item, Fragment)
    assert identity(item) == KNOWN
    assert peak < 2 << 20
    assert len(json.dumps(item)) < 2000


@pytest.mark.parametrize("marks", ["annotations", "labels"])
async def test_many_marks_that_begin_as_ours_cost_no_more_than_others(marks: str) -> None:
    """Of tens of thousands of keys with our prefix some are kept, and who the object is, is known as soon."""

    def text(prefix: str) -> bytes:
        many = ",".join(f'"{prefix}k{number}":"v"' for number in range(55_000))
        begin = '"annotations":{' if marks == "annotations" else '"generation":1'
        return (
            session()
            .replace(begin, f'"{marks}":{{{many}' + ("," if marks == "annotations" else '},"generation":1'))
            .encode()
        )

    async def took(raw: bytes) -> tuple[float, dict[str, Any] | None]:
        began = time.process_time()
        item = await read_object(Body(raw))
        return time.process_time() - began, item

    others, _ = await took(text("tasksession-dev/"))
    ours, item = await took(text("tasksession.dev/"))
    assert item is not None
    assert identity(item) == KNOWN
    assert 32 <= len(item["metadata"][marks]) <= 64
    assert ours < 4 * others + 0.1


def test_the_parts_of_a_list_are_found_without_reading_them() -> None:
    """Where each object begins and ends is known, whatever is in it; the list's own version comes after them."""
    items = [session(name=f"s{number}", managed=value) for number, value in enumerate(hostile_values().values())]
    text = ('{"apiVersion":"v1","items":[' + ",".join(items) + '],"metadata":{"resourceVersion":"7"}}').encode()
    scanner = Scanner(PARTS)
    for at in range(0, len(text), 10_000):
        scanner.feed(text[at : at + 10_000])
    assert scanner.found["metadata"]["resourceVersion"] == "7"
    assert [text[begin:end].decode() for begin, end in scanner.found["items"]] == items


def as_typed(value: Any) -> str:
    """A Job as the API server writes its own kinds: in the order of their definition."""
    return json.dumps(value, separators=(",", ":"))


async def test_of_a_job_everything_is_known_that_its_end_needs() -> None:
    """Owner, marks, whether it is suspended and how it ended: a Job that is too large is stopped like any other."""
    job: dict[str, Any] = {
        "metadata": {"name": "one", "namespace": "team", "uid": "u-one", "resourceVersion": "42",
                     "labels": {"tasksession.dev/managed": "true"},
                     "annotations": {"tasksession.dev/session": "one", "a": "b"},
                     "ownerReferences": [{"kind": "TaskSession", "name": "one", "uid": "x", "controller": True}],
                     "managedFields": [LIES]},
        "spec": {"suspend": False, "activeDeadlineSeconds": 5,
                 "template": {"metadata": {"annotations": {"tasksession.dev/service-account": "ts-1"}},
                              "spec": {"containers": [{"env": [LIES] * 9000}]}}},
        "status": {"startTime": "2026-11-28T00:00:00Z", "conditions": [{"type": "Failed", "status": "True"}]},
    }  # fmt: skip
    item = await object_of(as_typed(job).encode())
    assert isinstance(item, Fragment)
    del job["metadata"]["managedFields"], job["spec"]["template"]["spec"], job["metadata"]["annotations"]["a"]
    assert item == job
