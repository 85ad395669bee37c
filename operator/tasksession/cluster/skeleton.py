"""Finds what an object is called, whose it is and what became of it, in JSON that is too large or too deep to decode.

The decoding side feeds it, in pieces, what it will not decode. It follows the structure from the root, so that nothing
that somebody wrote into the object can pass for its name; everything else is skipped by regular expressions, at the
speed of C and without a stack. It holds a piece and what it has found, and must never hold the whole.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from itertools import accumulate
from typing import Any

from pydantic_core import from_json

_Steps = Generator[None, None, Any]

_OPEN, _CLOSE, _QUOTE = b"{["[0], b"}"[0], b'"'[0]
_LIST, _LIST_END = b"["[0], b"]"[0]
_STRING_BODY = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_STRING = re.compile(rb'"' + _STRING_BODY + rb'"', re.DOTALL)
_BODY = re.compile(_STRING_BODY, re.DOTALL)
#: As much as can be read without ending inside a string.
_OUTSIDE = re.compile(rb'[^"]*+(?:"' + _STRING_BODY + rb'"[^"]*+)*+', re.DOTALL)
_TOKEN = re.compile(rb'"' + _STRING_BODY + rb'"|[{}\[\]]', re.DOTALL)
_BETWEEN = re.compile(rb"[\s,:]*+")
_SCALAR = re.compile(rb"[^\s,:{}\[\]\"]*+")
#: What is a part of a bracket, and what is not.
_BRACKETS = bytes.maketrans(b"{[}]", b"(())")
_REST = bytes(byte for byte in range(256) if byte not in b"{[}]")
_STEP = {b"("[0]: 1, b")"[0]: -1}.__getitem__

#: How much is looked at in one step; a smaller window comes first, since most values are small.
_FIRST_WINDOW, _WINDOW = 1 << 12, 1 << 15
_LONGEST_NAME = 1024
#: How large a value may be that is kept, in bytes of JSON: names and numbers, lists of owners, a status.
_SMALL, _STATUS = 16 * 1024, 160 * 1024
_DEEPEST_KEPT = 24
_MOST_PICKED = 64


class Items:
    """Stands for a list of objects of which each is scanned in the same way."""

    def __init__(self, wanted: Mapping[str, Any] | None) -> None:
        self.wanted = wanted
        """What is kept of each; for None, where each begins and ends in what is read."""


class Picked:
    """Stands for a map of texts of which only keys that begin with a prefix are kept."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        pair = rb'"(?!' + re.escape(prefix) + rb")" + _STRING_BODY + rb'"[\s:]*+"' + _STRING_BODY + rb'"[\s,]*+'
        self.others = re.compile(rb"(?:" + pair + rb")*+", re.DOTALL)


_OURS = Picked(b"tasksession.dev/")
_SMALLS = dict.fromkeys
#: Of any object: what its identity, its owners and its life are told by. A number is the size up to which it is kept.
OBJECT: Mapping[str, Any] = {
    **_SMALLS(("apiVersion", "kind", "message", "reason", "code"), _SMALL),
    "metadata": {
        **_SMALLS(
            ("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
             "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "continue"), _SMALL
        ),
        "annotations": _OURS,
        "labels": _OURS,
    },
    "spec": {
        **_SMALLS(
            ("policy", "ttl", "notAfter", "reason", "revoked", "ttlSecondsAfterFinished", "requester", "suspend",
             "activeDeadlineSeconds"), _SMALL
        ),
        "task": _SMALLS(("job", "external"), _SMALL),
        "template": {"metadata": {"annotations": _OURS}},
    },
    "status": _STATUS,
}  # fmt: skip
#: Of an event of a watch.
EVENT: Mapping[str, Any] = {"type": _SMALL, "object": OBJECT}
#: Of a list.
LIST: Mapping[str, Any] = {"metadata": OBJECT["metadata"], "items": Items(OBJECT)}
#: Of a list whose objects are to be decoded one by one.
PARTS: Mapping[str, Any] = {"metadata": OBJECT["metadata"], "items": Items(None)}


class Scanner:
    """Reads one JSON value, in as many pieces as it comes in, and keeps what is `wanted`."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._data = b""
        self._at = 0
        self._before = 0
        self.found: Any = None
        """What was found, once `done`; None where the value is no object."""
        self.done = False
        self._steps = self._value(wanted)
        self._go_on()

    def feed(self, piece: bytes) -> None:
        """Read on."""
        if not self.done:
            self._before += self._at
            self._data = self._data[self._at :] + piece if self._at < len(self._data) else piece
            self._at = 0
            self._go_on()

    def _go_on(self) -> None:
        try:
            next(self._steps)
        except StopIteration as end:
            self.found, self.done, self._data = end.value, True, b""
        except ValueError:
            self.done, self._data = True, b""

    # All that follows goes on where it stood when there is more to read.

    def _next(self) -> _Steps:
        """Come to the next byte that means something, and return it."""
        while True:
            found = _BETWEEN.match(self._data, self._at)
            assert found is not None  # noqa: S101 - it matches the empty text
            self._at = found.end()
            if self._at < len(self._data):
                return self._data[self._at]
            yield

    def _value(self, wanted: Any) -> _Steps:
        """Read a value; None for one that is not of the form that is wanted."""
        first = yield from self._next()
        if isinstance(wanted, int):
            return (yield from self._kept(wanted))
        if isinstance(wanted, Items) and first == _LIST:
            return (yield from self._items(wanted))
        if isinstance(wanted, Picked) and first == _OPEN:
            return (yield from self._picked(wanted))
        if isinstance(wanted, Mapping) and first == _OPEN:
            return (yield from self._object(wanted))
        yield from self._skip()
        return None

    def _object(self, wanted: Mapping[str, Any]) -> _Steps:
        self._at += 1
        found: dict[str, Any] = {}
        while (yield from self._next()) == _QUOTE:
            name = yield from self._name()
            value = yield from self._value(wanted.get(name, ()))
            if value is not None:
                found[name] = value
        self._at += 1
        return found

    def _items(self, wanted: Items) -> _Steps:
        self._at += 1
        found = []
        while (yield from self._next()) != _LIST_END:
            if wanted.wanted is None:
                begin = self._before + self._at
                yield from self._skip()
                found.append((begin, self._before + self._at))
                continue
            item = yield from self._value(wanted.wanted)
            if item is not None:
                found.append(item)
        self._at += 1
        return found

    def _picked(self, wanted: Picked) -> _Steps:
        self._at += 1
        found: dict[str, Any] = {}
        picked = 0
        while (yield from self._next()) == _QUOTE:
            others = wanted.others.match(self._data, self._at, self._at + _WINDOW)
            if others is not None and others.end() > self._at:
                self._at = others.end()
                continue
            if picked == _MOST_PICKED:
                # One by one, tens of thousands of keys that begin as ours would keep the loop for seconds.
                yield from self._skip_rest()
                return found
            name = yield from self._name()
            ours = name.startswith(wanted.prefix.decode())
            picked += ours
            value = yield from self._value(_SMALL if ours else ())
            if isinstance(value, str):
                found[name] = value
        self._at += 1
        return found

    def _name(self) -> _Steps:
        """Read a key; an empty one in place of one that is longer than any that is wanted."""
        name = yield from self._kept(_LONGEST_NAME)
        return name if isinstance(name, str) else ""

    def _kept(self, limit: int) -> _Steps:
        """Read a value that is to be kept; None for one that is larger or deeper than it should be."""
        while True:
            end = _end_of(self._data, self._at, self._at + limit)
            if end is not None:
                raw, self._at = self._data[self._at : end], end
                return _decoded(raw)
            if len(self._data) - self._at > limit:
                yield from self._skip()
                return None
            yield

    def _skip(self) -> _Steps:
        """Pass over a value."""
        first = self._data[self._at]
        if first == _QUOTE:
            yield from self._skip_string()
        elif first in b"{[":
            yield from self._skip_nested()
        else:
            yield from self._skip_scalar()

    def _skip_scalar(self) -> _Steps:
        if self._data[self._at] in b"{}[],:":
            raise ValueError("this is no JSON")
        while True:
            found = _SCALAR.match(self._data, self._at)
            assert found is not None  # noqa: S101 - it matches the empty text
            self._at = found.end()
            if self._at < len(self._data):
                return
            yield

    def _skip_string(self) -> _Steps:
        self._at += 1
        while True:
            before, self._at = self._at, _body_end(self._data, self._at)
            went_on = self._at > before
            if self._at < len(self._data) and self._data[self._at] == _QUOTE:
                self._at += 1
                return
            if not went_on or self._at >= len(self._data):
                yield

    def _skip_nested(self) -> _Steps:
        self._at += 1
        yield from self._skip_rest()

    def _skip_rest(self) -> _Steps:
        """Pass over what is left of an object or a list, from between two of its values."""
        depth, window = 1, _FIRST_WINDOW
        while True:
            end, self._at, depth = _descend(self._data, self._at, self._at + window, depth)
            if end is not None:
                self._at = end
                return
            window = min(2 * window, _WINDOW)
            if self._at >= len(self._data):
                yield
            elif self._data[self._at] == _QUOTE:
                yield from self._skip_string()


def _body_end(data: bytes, at: int) -> int:
    """As far as the rest of a string goes: to the quote that ends it, or to what is not there yet."""
    quote = data.find(b'"', at)
    end = quote if quote >= 0 else len(data)
    if data.find(b"\\", at, end) < 0:
        # Nothing is escaped, as in most texts: there is a faster way than an expression.
        return end
    found = _BODY.match(data, at, at + _WINDOW)
    assert found is not None  # noqa: S101 - it matches the empty text
    return found.end()


def _end_of(data: bytes, at: int, limit: int) -> int | None:
    """Where the value ends that begins at a place; None where it does not end before `limit`, or is not whole."""
    first = data[at]
    if first == _QUOTE:
        found = _STRING.match(data, at, limit)
        return found.end() if found else None
    if first not in b"{[":
        found = _SCALAR.match(data, at, limit)
        return found.end() if found and found.end() < len(data) and found.end() < limit else None
    at += 1
    depth, window = 1, _FIRST_WINDOW
    while True:
        before = at
        end, at, depth = _descend(data, at, min(at + window, limit), depth)
        if end is not None:
            return end
        if at == before:
            found = _STRING.match(data, at, limit) if at < len(data) and data[at] == _QUOTE else None
            if found is None:
                return None
            at = found.end()
        window *= 2


def _descend(data: bytes, at: int, limit: int, depth: int) -> tuple[int | None, int, int]:
    """Read on within nested values up to a limit: where the outermost ends, if it does; how far, and how deep then.

    It stops before a string that is not whole there.
    """
    found = _OUTSIDE.match(data, at, limit)
    assert found is not None  # noqa: S101 - it matches the empty text
    text = data[at : found.end()]
    if b"\\" in text:
        # Pairs first, from the left: then a quote behind a backslash ends no string.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Every other part between quotes is a string.
    brackets = b"".join(text.split(b'"')[::2]).translate(_BRACKETS, _REST)
    flat = brackets.replace(b"()", b"").replace(b"()", b"")
    closing = flat.count(b")")
    if closing < depth:
        # It cannot end here.
        return None, found.end(), depth + len(flat) - 2 * closing
    depths = list(accumulate(map(_STEP, brackets), initial=depth))
    try:
        last = depths.index(0, 1)
    except ValueError:
        return None, found.end(), depths[-1]
    for token in _TOKEN.finditer(data, at, found.end()):
        if token.group()[0] != _QUOTE:
            last -= 1
            if not last:
                return token.end(), token.end(), 0
    raise AssertionError("there are as many brackets as were counted")


def _decoded(raw: bytes) -> Any:
    if raw[0] == _QUOTE and b"\\" not in raw:
        # Nearly all that is kept is a plain text: a tenth of the time.
        try:
            return raw[1:-1].decode()
        except UnicodeDecodeError:
            return None
    wrapping = 200 - _DEEPEST_KEPT
    try:
        found = from_json(b"[" * wrapping + raw + b"]" * wrapping, allow_inf_nan=False)
    except ValueError:
        return None
    for _ in range(wrapping):
        found = found[0]
    return found
