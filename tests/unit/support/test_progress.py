"""What a first build says: which step of how many, and the minutes that are left."""

from __future__ import annotations

from tests.cluster.progress import Progress


class Clock:
    """The time as tests set it, and a machine with two cores."""

    def __init__(self) -> None:
        self.now = 0.0

    def steps(self, *names: str) -> Progress:
        """Return the count of some steps."""
        return Progress(names, monotonic=lambda: self.now, cores=2)


def test_steps_are_counted_in_advance() -> None:
    """The first step knows how many there are; one that was not foreseen makes them more, never `10 of 9`."""
    clock = Clock()
    steps = clock.steps("etcd", "kube-apiserver", "helm")
    steps.begin("etcd")
    assert steps.place == "1 of 3"
    steps.finish()
    steps.begin("kube-apiserver")
    assert steps.place == "2 of 3"
    steps.finish()
    steps.begin("Go")
    assert steps.place == "3 of 4"


def test_the_minutes_left_are_those_of_this_machine() -> None:
    """A step that took half of what it once took halves what is said of the rest; time passes within a step as well."""
    clock = Clock()
    steps = clock.steps("etcd", "kube-apiserver", "helm")
    steps.begin("etcd")
    assert steps.left == "about 9 min left"
    clock.now = 30.0
    steps.finish()
    steps.begin("kube-apiserver")
    assert steps.left == "about 4 min left"
    clock.now = 30.0 + 160
    assert steps.left == "about a minute left"
    clock.now = 1000.0
    assert steps.left == "about a minute left"


def test_a_step_that_another_process_took_says_nothing_of_the_pace() -> None:
    """It waited for the other's build, and found the binary there."""
    clock = Clock()
    steps = clock.steps("etcd", "kube-apiserver", "helm")
    steps.begin("etcd")
    steps.finish()
    steps.begin("kube-apiserver")
    assert steps.left == "about 8 min left"
