"""Compares a policy or binding as it stands in the API server with the one that ships, field by field.

The engine and the doctor call it. What the API server fills in by itself is the same as what it fills in; anything
else that is there more, less or otherwise is a difference. It never judges whether a difference weakens: one that
does and one that does not look alike.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasksession.guards.values import PATTERNS, PLACEHOLDER, Found

Spec = Mapping[str, Any]

#: What a difference may show of a value: longer ones, and what does not print, stay out of messages.
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ExpectedGuard:
    """A guard as this version ships it: any one of the specs, for the chart has switches, and one binding."""

    kind: str
    name: str
    policies: tuple[Spec, ...]
    binding: Spec


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is different, a phrase each, and what was found in place of the placeholders."""

    differences: tuple[str, ...]
    found: tuple[Found, ...]


def closest(expected: tuple[Spec, ...], actual: Spec) -> Comparison:
    """Compare with each of the specs that ship, and return the comparison with the fewest differences."""
    return min((compare(each, actual) for each in expected), key=lambda each: len(each.differences))


def compare(expected: Spec, actual: Spec) -> Comparison:
    """Compare one spec with the one that ships."""
    found: list[Found] = []
    differences = tuple(_differences("spec", _filled_in(expected), _filled_in(actual), found))
    return Comparison(differences=differences, found=tuple(found))


def _filled_in(spec: Spec) -> dict[str, Any]:
    """A spec with the API server's defaults, and without what is empty and means nothing."""
    filled = {key: value for key, value in spec.items() if value not in (None, [], {})}
    for field in ("matchConstraints", "matchResources"):
        if field in filled:
            filled[field] = _match(filled[field])
    if "matchConstraints" in filled:
        filled.setdefault("failurePolicy", "Fail")
    if not filled.get("matchResources"):
        filled.pop("matchResources", None)
    return filled


def _match(match: Mapping[str, Any]) -> dict[str, Any]:
    filled = {key: value for key, value in match.items() if value not in (None, [], {})}
    if filled.get("matchPolicy", "Equivalent") == "Equivalent":
        filled.pop("matchPolicy", None)
    for field in ("resourceRules", "excludeResourceRules"):
        if field in filled:
            filled[field] = [{"scope": "*", **rule} for rule in filled[field]]
    return filled


def _differences(path: str, expected: Any, actual: Any, found: list[Found]) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in expected:
            if key not in actual:
                yield f"{path}.{key} is missing"
            else:
                yield from _differences(f"{path}.{key}", expected[key], actual[key], found)
        yield from (f"{path}.{_shown(key) or '(a field)'} was added" for key in actual if key not in expected)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path} has {len(actual)} entries instead of {len(expected)}"
            return
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other, found)
    elif isinstance(expected, str) and isinstance(actual, str) and "${" in expected:
        placeholders, pattern = _pattern(expected)
        match = pattern.fullmatch(actual)
        if match is None:
            yield _changed(path, expected, actual)
        else:
            found.extend(zip(placeholders, match.groups(), strict=True))
    elif type(expected) is not type(actual) or expected != actual:
        yield _changed(path, expected, actual)


def _changed(path: str, expected: Any, actual: Any) -> str:
    before, now = _shown(expected), _shown(actual)
    if before and now:
        return f"{path} is {now} instead of {before}"
    return f"{path} is not what this version ships"


def _shown(value: Any) -> str | None:
    text = str(value)
    return text if isinstance(value, str | int) and len(text) <= _SHOWN and text.isprintable() and text else None


@functools.lru_cache(maxsize=4096)
def _pattern(text: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """The placeholders of a shipped text, in order, and the expression that it matches with a group for each."""
    placeholders: list[str] = []
    pattern, end = "", 0
    for match in PLACEHOLDER.finditer(text):
        pattern += re.escape(text[end : match.start()]) + f"({PATTERNS[match[1]]})"
        placeholders.append(f"{match[1]}:{match[2]}")
        end = match.end()
    return tuple(placeholders), re.compile(pattern + re.escape(text[end:]))
