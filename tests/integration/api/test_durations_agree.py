"""The API server and the operator read a duration alike: the same text is never two lengths."""

import re
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasksession.api.durations import DURATION_PATTERN, LONGEST_TTL, SHORTEST_TTL, parse_duration
from tests.cluster.api import ApiError
from tests.integration.api.conftest import Resources
from tests.integration.api.manifests import EXTERNAL_SESSION, spoiled

_UNITS = st.sampled_from(["ns", "us", "µs", "ms", "s", "m", "h"])
_NUMBERS = st.integers(0, 90000) | st.integers(0, 10**15)
_FRACTIONS = st.sampled_from(["", "", ".5", ".999", ".000000001"])
_PARTS = st.builds(lambda number, fraction, unit: f"{number}{fraction}{unit}", _NUMBERS, _FRACTIONS, _UNITS)
_TEXTS = st.lists(_PARTS, min_size=1, max_size=3).map("".join) | st.text(alphabet="0159.hms -+", max_size=6)


def _length(text: str) -> timedelta | None:
    """Read what the schema's pattern admits; None where it is no duration."""
    if len(text) > 32 or not re.search(DURATION_PATTERN, text):
        return None
    try:
        return parse_duration(text)
    except ValueError:
        return None


@settings(max_examples=150, deadline=None)
@given(text=_TEXTS)
@example(text="10s")
@example(text="9.999999999s")
@example(text="24h")
@example(text="86400.000000001s")
@example(text="86400000000µs")
@example(text="2562048h")
@example(text="10s\n")
def test_the_api_server_reads_a_duration_as_the_operator_does(resources: Resources, text: str) -> None:
    """A ttl is accepted exactly if the operator reads it as 10 seconds to 24 hours; below a microsecond it is cut."""
    try:
        resources.create(spoiled(EXTERNAL_SESSION, {"spec.ttl": text}), dryRun="All")
    except ApiError as refused:
        assert refused.status == 422
        length = _length(text)
        assert length is None or length < SHORTEST_TTL or length >= LONGEST_TTL
    else:
        length = _length(text)
        assert length is not None
        assert SHORTEST_TTL <= length <= LONGEST_TTL
