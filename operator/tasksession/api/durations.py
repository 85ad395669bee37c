"""Durations as they stand in manifests, in Go's syntax: `90s`, `15m`, `1h30m`, `1.5h`.

The API server judges the same text by CEL's duration(), which is Go's own parser: what passes there must parse here, to
the same length. A part finer than a microsecond is cut, so that no reading makes a session longer.
"""

import re
from datetime import timedelta

from tasksession.api.model import rule

#: The durations that the published schema admits: Go's syntax without a sign, from 10 seconds to a day.
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"
SHORTEST_TTL = timedelta(seconds=10)
LONGEST_TTL = timedelta(hours=24)

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"(?P<sign>[+-]?)(?P<parts>(?:{_PART})+|0)")
_NUMBER_AND_UNIT = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>ns|us|µs|μs|ms|s|m|h)")
#: Go counts nanoseconds in 64 bits, and refuses what does not fit.
_LARGEST = 2**63 - 1


def parse_duration(text: str) -> timedelta:
    """Read a duration in Go's syntax; ValueError, in words for its author, where it is none."""
    if text == "":
        raise ValueError("an empty text is not a duration: write for instance 90s, 15m or 1h30m")
    match = _DURATION.fullmatch(text)
    if match is None or len(text) > 256:
        raise ValueError(f"{text[:64]!r} is not a duration: write for instance 90s, 15m or 1h30m")
    nanoseconds = 0
    for part in _NUMBER_AND_UNIT.finditer(match["parts"]):
        unit = _NANOSECONDS[part["unit"]]
        fraction = part["fraction"] or ""
        nanoseconds += int(part["whole"] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
    if nanoseconds > _LARGEST:
        raise ValueError(f"{text[:64]!r} is too long for a duration: at most 2562047h")
    length = timedelta(microseconds=nanoseconds // 1000)
    return -length if match["sign"] == "-" else length


def format_duration(length: timedelta) -> str:
    """Write a duration in Go's syntax, without empty parts: `1h30m`, `90s` as `1m30s`, nothing as `0s`."""
    microseconds = abs(length) // timedelta(microseconds=1)
    hours, rest = divmod(microseconds, 3600 * 10**6)
    minutes, rest = divmod(rest, 60 * 10**6)
    seconds, fraction = divmod(rest, 10**6)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    if fraction:
        text += f"{seconds}.{fraction:06d}".rstrip("0") + "s"
    elif seconds or not text:
        text += f"{seconds}s"
    return f"-{text}" if length < timedelta(0) else text


#: The published schema of a session's length. The pattern stands in the rule, whose message a person can act on.
TTL_SCHEMA = {
    "maxLength": 32,
    "x-kubernetes-validations": [
        rule(
            f"self.matches(r'{DURATION_PATTERN}') && duration(self) >= duration('10s') && "
            "duration(self) <= duration('24h')",
            "must be a duration from 10s to 24h, such as 90s, 15m or 1h30m",
        )
    ],
}
