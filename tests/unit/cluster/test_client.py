"""When the API server counts as away, and when as back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from tasksession.cluster.client import Client

AWAY_SECONDS = 60.0


@dataclass
class Outage:
    """A client that notes answers, at moments that the test decides."""

    client: Client
    now: float = 1000.0
    returns: list[float] = field(default_factory=list)

    def served(self, times: int = 1) -> None:
        """Have so many requests served."""
        for _ in range(times):
            self.client._note_answer(200)

    def refused(self, status: int = 403) -> None:
        """Have one request refused."""
        self.client._note_answer(status)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    """An API server that was away for a minute, and refuses the first request after it."""
    clock: list[Outage] = []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0].now if clock else 1000.0)
    made = Outage(Client(None, request_timeout=1.0))
    clock.append(made)
    made.client.on_return = lambda: made.returns.append(made.now)
    made.served()
    made.now += AWAY_SECONDS
    made.refused()
    assert made.client.away
    return made


def test_one_served_request_does_not_make_it_back(outage: Outage) -> None:
    """A server that comes back refuses some requests for a moment: most workers wait until many were served."""
    outage.served()
    assert outage.returns == [outage.now]
    assert outage.client.away
    outage.refused()
    outage.served(7)
    assert outage.client.away
    outage.served()
    assert not outage.client.away
    assert len(outage.returns) == 2


def test_a_session_that_is_always_refused_does_not_hold_up_the_others(outage: Outage) -> None:
    """After some seconds in which it serves some, it is back, whatever it refuses besides."""
    for _ in range(20):
        outage.served(3)
        outage.refused()
    assert outage.client.away
    outage.now += 5.0
    outage.served()
    outage.refused()
    assert not outage.client.away


def test_refusals_beside_served_requests_are_no_outage(outage: Outage) -> None:
    """In ordinary times, a refused request changes nothing for others."""
    outage.served(20)
    outage.now += 60.0
    outage.served()
    outage.refused()
    outage.refused(503)
    assert not outage.client.away
