"""A session at which nothing that matters changes is left alone for a while; what matters is never held up."""

from tasksession.engine.pacing import Pacing


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_a_session_that_rested_is_left_alone_for_two_seconds() -> None:
    """Events that bring nothing new cost nothing; after the pause it is looked at as ever."""
    clock = Clock()
    pacing = Pacing(clock)
    assert pacing.left("uid", "as it was") == 0.0
    pacing.rested("uid", "as it was", seconds=30.0)
    assert pacing.left("uid", "as it was") == 2.0
    assert pacing.left("another", "as it was") == 0.0
    clock.now = 2.0
    assert pacing.left("uid", "as it was") == 0.0


def test_what_matters_is_looked_at_at_once() -> None:
    """A pause holds for the facts that it was made for, and no others; and it can be ended."""
    pacing = Pacing(Clock())
    pacing.rested("uid", ("no Job", 1), seconds=30.0)
    assert pacing.left("uid", ("a Job", 1)) == 0.0
    assert pacing.left("uid", ("no Job", 2)) == 0.0
    pacing.forget("uid")
    assert pacing.left("uid", ("no Job", 1)) == 0.0


def test_a_pause_ends_with_the_wait() -> None:
    """A session whose time is over in half a second is looked at then."""
    pacing = Pacing(Clock())
    pacing.rested("uid", (), seconds=0.5)
    assert pacing.left("uid", ()) == 0.5
    pacing.rested("uid", (), seconds=-1.0)
    assert pacing.left("uid", ()) == 0.0


def test_contention_is_met_with_ever_longer_pauses() -> None:
    """Who writes to a session all the time gets it looked at ever more seldom, within a bound."""
    pacing = Pacing(Clock())
    pauses = [pacing.contended("uid", ()) for _ in range(8)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert pacing.left("uid", ()) == 8.0
    pacing.rested("uid", (), seconds=30.0)
    assert pacing.contended("uid", ()) == 0.25
