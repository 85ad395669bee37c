"""The API server's time, known to a few milliseconds without trusting this machine's clock.

Every answer carries a Date header in whole seconds: the server's time lay within that second, somewhere between
sending and receiving. Intersecting those intervals over many answers narrows the offset to the monotonic clock.
The client feeds it; the engine asks it. Deadlines are never compared with the operator's wall clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=8)
def _unix_seconds(date_header: str) -> float | None:
    """Read a Date header; None where it is none. All answers of one second have the same."""
    try:
        return parsedate_to_datetime(date_header).timestamp()
    except (TypeError, ValueError):
        return None


class ServerClock:
    """The offset between the monotonic clock and the API server's time, as an interval that only shrinks.

    Clocks drift, so a bound older than `renewal` seconds is let go of; an answer outside the interval (the server's
    clock was set) starts it anew.
    """

    def __init__(self, *, monotonic: Callable[[], float], renewal: float = 300.0) -> None:
        self._monotonic = monotonic
        self._renewal = renewal
        self._low: float | None = None
        self._high: float | None = None
        self._started = 0.0
        self._previous: tuple[float, float] | None = None

    @property
    def is_known(self) -> bool:
        """Whether any answer has been seen."""
        return self._low is not None

    def observe(self, date_header: str, *, sent: float, received: float) -> None:
        """Take in one answer; `sent` and `received` are monotonic seconds around the request."""
        second = _unix_seconds(date_header)
        if second is None:
            return
        low, high = second - received, second + 1.0 - sent
        if self._low is None or self._high is None:
            self._low, self._high, self._started = low, high, received
            return
        if received - self._started > self._renewal:
            # Begin a new interval beside the old one, so that precision is not lost at the change.
            self._previous, self._started = (self._low, self._high), received
            self._low, self._high = low, high
            return
        narrowed = (max(self._low, low), min(self._high, high))
        if narrowed[0] > narrowed[1]:
            self._previous = None
            self._low, self._high, self._started = low, high, received
            return
        self._low, self._high = narrowed

    def offset(self) -> float:
        """Seconds to add to the monotonic clock to get the server's Unix time; LookupError before any answer."""
        if self._low is None or self._high is None:
            raise LookupError("the API server's time is not known yet: no answer has been seen")
        low, high = self._low, self._high
        if self._previous is not None:
            both = (max(low, self._previous[0]), min(high, self._previous[1]))
            if both[0] <= both[1]:
                low, high = both
        return (low + high) / 2

    def now(self) -> datetime:
        """The server's time now; LookupError before any answer."""
        return datetime.fromtimestamp(self._monotonic() + self.offset(), tz=UTC)

    def monotonic_at(self, moment: datetime) -> float:
        """The monotonic time at which the server's clock will show `moment`."""
        return moment.timestamp() - self.offset()
