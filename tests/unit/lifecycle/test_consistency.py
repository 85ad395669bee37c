"""The checker of the other tests: it lets the builders' worlds pass, and refuses worlds that cannot be."""

from datetime import timedelta
from typing import Any

import pytest

from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.lifecycle.observed import Observed, Progress, Review
from tests.unit import make
from tests.unit.lifecycle.consistency import Impossible, check_input


def altered(session: TaskSession, **status: Any) -> TaskSession:
    """A session with another status."""
    return make.with_status(session, session.status.model_copy(update=status))


def test_the_builders_make_possible_worlds() -> None:
    """What the other tests start from is consistent."""
    check_input(make.session(), make.observed(review=make.allowed(), job=make.job()), make.NOW)
    check_input(make.active(), make.observed(job=make.job(), review=make.rechecked()), make.NOW)


@pytest.mark.parametrize(
    ("session", "observed"),
    [
        (make.with_metadata(make.session(), uid=""), make.observed()),
        (make.with_metadata(make.session(), creation_timestamp=make.NOW + timedelta(hours=1)), make.observed()),
        (altered(make.session(), conditions=()), make.observed()),
        (altered(make.session(), state=State.ACTIVE), make.observed()),
        (altered(make.session(), granted_at=make.NOW), make.observed()),
        (altered(make.active(), state=State.COMPLETED), make.observed()),
        (altered(make.active(), service_account_name="default"), make.observed()),
        (altered(make.active(), job_ref=None), make.observed()),
        (altered(make.active(), deadline=make.NOW), make.observed()),
        (make.session(), make.observed(identity_missing="gone")),
        (make.session(), make.observed(review=make.rechecked())),
        (make.session(), make.observed(review=Review(verdict=make.allowed().verdict, failed="no answer"))),
        (make.session(), make.observed(progress=Progress(service_account_uid="u"))),
        (make.session(), make.observed(progress=Progress(role_bindings_made=frozenset({"n"})))),
        (make.session(), make.observed(progress=Progress(role_bindings_gone=True))),
    ],
)
def test_impossible_worlds_are_refused(session: TaskSession, observed: Observed) -> None:
    """A test that arranges what no cluster shows fails, instead of proving nothing."""
    with pytest.raises(Impossible):
        check_input(session, observed, make.NOW)
