"""What can go wrong between the operator and the API server.

    ClusterError
    ├── Refused       the API server answered, and the answer was no
    │   ├── Conflict  a precondition (uid, resourceVersion) did not hold
    │   ├── Missing   the object, or its kind, does not exist
    │   └── Taken     an object of that name exists already
    ├── Unreachable   no answer: connection, TLS, time-out
    └── NotLeader     not sent: this replica does not hold the Lease

Raised by the client, handled by the engine's back-off and by the applying side.
"""

from __future__ import annotations


class ClusterError(Exception):
    """Any failed request."""


class Unreachable(ClusterError):
    """No usable answer came; whether the request took effect is not known."""


class NotLeader(ClusterError):
    """The request was not sent, because another replica may be the one that writes."""


class Refused(ClusterError):
    """The API server answered with an error status.

    `status` is the HTTP status, `reason` and `message` are those of the Status object, `retry_after` the seconds
    the server asked to wait, None where it did not.
    """

    def __init__(self, *, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Conflict(Refused):
    """A uid or resourceVersion that was required is no longer current."""


class Missing(Refused):
    """Not found."""


class Taken(Refused):
    """The name is in use."""


#: What etcd, and the API server's client of it, say of an object that is too large: there is no code for it.
_TOO_LARGE = ("request is too large", "message larger than max")


def is_too_large(error: Refused) -> bool:
    """Whether an object cannot be stored because of its size: trying again cannot help."""
    return error.status == 413 or (error.status >= 500 and any(words in error.message for words in _TOO_LARGE))


def refusal(*, status: int, reason: str, message: str, retry_after: float | None) -> Refused:
    """Pick the exception for an error answer.

    A wrong `metadata.uid` in a PATCH comes back as 422 "field is immutable", not as 409: it means the same.
    """
    kind: type[Refused] = Refused
    if status == 404:
        kind = Missing
    elif status == 409 and reason == "AlreadyExists":
        kind = Taken
    elif status == 409 or (status == 422 and "metadata.uid" in message):
        kind = Conflict
    return kind(status=status, reason=reason, message=message, retry_after=retry_after)
