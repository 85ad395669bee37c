"""Durations: the syntax of Go, in words where it is not, and never longer than written."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasksession.api.durations import format_duration, parse_duration

_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1h15m30.918s", timedelta(hours=1, minutes=15, seconds=30, milliseconds=918)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("5s5s", timedelta(seconds=10)),
        ("1us", timedelta(microseconds=1)),
        ("1µs", timedelta(microseconds=1)),
        ("1μs", timedelta(microseconds=1)),
        ("10ms", timedelta(milliseconds=10)),
        ("1500ns", timedelta(microseconds=1)),
        ("-1m", timedelta(minutes=-1)),
        ("+1m", timedelta(minutes=1)),
        ("-999ns", timedelta(0)),
        ("2562047h", timedelta(hours=2562047)),
    ],
)
def test_what_go_reads_is_read(text: str, expected: timedelta) -> None:
    """Every form that Go's parser takes is taken, to the same length, cut to microseconds."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "10",
        "1d",
        "1w",
        "ten minutes",
        "1 h",
        " 1h",
        "1h ",
        "1h\n",
        "1,5h",
        "1e3s",
        "--1s",
        ".s",
        "1H",
        "\u0661s",
        "∞",
    ],
)
def test_what_go_refuses_is_refused_in_words(text: str) -> None:
    """Everything else is refused, with an example of how to write it."""
    with pytest.raises(ValueError, match="write for instance 90s, 15m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2562048h", "9999999999h", "9" * 200 + "h"])
def test_what_is_beyond_gos_range_is_refused_in_words(text: str) -> None:
    """A duration that Go cannot hold is refused, and the message stays short."""
    with pytest.raises(ValueError, match="is too long for a duration: at most 2562047h") as refused:
        parse_duration(text)
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=10), "10s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(minutes=15), "15m"),
        (timedelta(hours=24), "24h"),
        (timedelta(hours=1, seconds=1), "1h1s"),
        (timedelta(milliseconds=1500), "1.5s"),
        (timedelta(microseconds=1), "0.000001s"),
        (timedelta(minutes=-15), "-15m"),
    ],
)
def test_a_duration_is_written_without_empty_parts(length: timedelta, expected: str) -> None:
    """A duration is written as a person would write it."""
    assert format_duration(length) == expected


@given(st.timedeltas(min_value=-_LONGEST, max_value=_LONGEST))
@example(timedelta(microseconds=-1))
def test_what_is_written_is_read_again(length: timedelta) -> None:
    """Writing and reading gives the same length, to the microsecond."""
    assert parse_duration(format_duration(length)) == length


@given(st.text(alphabet="0123456789.nuµmsh-+", max_size=12) | st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is either a duration or refused with a ValueError; nothing else is raised."""
    try:
        found = parse_duration(text)
    except ValueError as refused:
        assert text[:10] in str(refused) or "duration" in str(refused)
    else:
        assert parse_duration(format_duration(found)) == found


_PART = st.tuples(
    st.integers(0, 10**4), st.sampled_from(["", ".5", ".25", ".000001"]), st.sampled_from(["ms", "s", "m", "h"])
)


@given(st.lists(_PART, min_size=1, max_size=5))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str, str]]) -> None:
    """A duration of several parts is the sum of what each says alone."""
    texts = [f"{whole}{fraction}{unit}" for whole, fraction, unit in parts]
    whole = parse_duration("".join(texts))
    alone = sum((parse_duration(text) for text in texts), timedelta(0))
    # Each part alone is cut to microseconds, the whole only once.
    assert timedelta(0) <= whole - alone < timedelta(microseconds=len(parts))
