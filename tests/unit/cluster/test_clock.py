"""The server's clock: known to a fraction of its resolution, indifferent to this machine's clock."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksession.cluster.clock import ServerClock


class Monotonic:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.value = 1000.0

    def __call__(self) -> float:
        """Read it."""
        return self.value


def date_header(unix: float) -> str:
    """What a server at that time writes: whole seconds, cut."""
    return format_datetime(datetime.fromtimestamp(int(unix), tz=UTC), usegmt=True)


def test_it_is_unknown_before_the_first_answer() -> None:
    """Nothing is decided on a time that nobody told."""
    clock = ServerClock(monotonic=Monotonic())
    assert not clock.is_known
    with pytest.raises(LookupError):
        clock.now()


@given(
    offset=st.floats(1.7e9, 1.8e9),
    requests=st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.001, 0.2)), min_size=1, max_size=60),
)
def test_the_true_time_is_always_within_reach(offset: float, requests: list[tuple[float, float]]) -> None:
    """Whatever the round trips were, the estimate is never further off than one second and one round trip."""
    monotonic = Monotonic()
    clock = ServerClock(monotonic=monotonic)
    for pause, round_trip in requests:
        monotonic.value += pause
        sent = monotonic.value
        server = sent + round_trip / 2 + offset
        monotonic.value += round_trip
        clock.observe(date_header(server), sent=sent, received=monotonic.value)
    assert abs(clock.offset() - offset) <= 1.2


def test_many_answers_narrow_it_to_milliseconds() -> None:
    """After some hundred answers spread over the second, the time is known far better than the header's resolution."""
    monotonic = Monotonic()
    clock = ServerClock(monotonic=monotonic)
    offset = 1_750_000_000.437
    for _ in range(300):
        monotonic.value += 0.0731
        clock.observe(
            date_header(monotonic.value + 0.002 + offset), sent=monotonic.value, received=monotonic.value + 0.004
        )
    assert abs(clock.offset() - offset) < 0.02
    moment = datetime.fromtimestamp(monotonic.value + 10 + offset, tz=UTC)
    assert clock.monotonic_at(moment) == pytest.approx(monotonic.value + 10, abs=0.02)


def test_a_server_whose_clock_was_set_is_followed() -> None:
    """An answer that contradicts what was known starts the estimate anew."""
    monotonic = Monotonic()
    clock = ServerClock(monotonic=monotonic)
    for offset in (1_750_000_000.0, 1_750_003_600.0):
        monotonic.value += 5
        clock.observe(date_header(monotonic.value + offset), sent=monotonic.value, received=monotonic.value + 0.01)
        assert abs(clock.offset() - offset) <= 1.0


def test_an_unreadable_date_is_ignored() -> None:
    """A proxy's odd answer does not move the clock."""
    clock = ServerClock(monotonic=Monotonic())
    clock.observe("yesterday", sent=1, received=2)
    assert not clock.is_known
