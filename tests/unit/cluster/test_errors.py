"""Which exception an error answer becomes: what callers may tell apart."""

import pytest

from tasksession.cluster.errors import Conflict, Missing, Refused, Taken, is_too_large, refusal


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        (404, "NotFound", "jobs.batch x not found", Missing),
        (409, "AlreadyExists", "x already exists", Taken),
        (409, "Conflict", "the object has been modified", Conflict),
        (422, "Invalid", "metadata.uid: Invalid value: field is immutable", Conflict),
        (422, "Invalid", "spec.template: Required value", Refused),
        (403, "Forbidden", "no", Refused),
        (429, "TooManyRequests", "later", Refused),
        (500, "InternalError", "oops", Refused),
    ],
)
def test_an_answer_becomes_the_exception_that_callers_handle(
    status: int, reason: str, message: str, kind: type[Refused]
) -> None:
    """A wrong uid in a PATCH is a conflict although the server calls it invalid; all else is what it says."""
    error = refusal(status=status, reason=reason, message=message, retry_after=2.0)
    assert type(error) is kind
    assert (error.status, error.reason, error.message, error.retry_after) == (status, reason, message, 2.0)
    assert message in str(error)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (413, "Request entity too large: limit is 3145728", True),
        (500, "etcdserver: request is too large", True),
        (500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2 vs. 1)", True),
        (500, "etcdserver: request timed out", False),
        (403, "request is too large, said somebody's webhook", False),
    ],
)
def test_an_object_that_is_too_large_is_told_from_a_server_in_trouble(
    status: int, message: str, expected: bool
) -> None:
    """The API server calls both its own fault; only the first is not worth another try."""
    assert is_too_large(refusal(status=status, reason="", message=message, retry_after=None)) is expected
