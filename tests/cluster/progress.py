"""Counts the steps of a first build in advance, and estimates the minutes that are left.

Used by what builds binaries and images. It knows what each step took once, on two cores, and goes by how fast this
machine has been with the steps before.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

#: Seconds that a step took on two cores, in this order: what comes later shares packages that are compiled by then.
_SECONDS = {
    "Go": 25.0,
    "etcd": 60.0,
    "kube-apiserver": 333.0,
    "kube-controller-manager": 120.0,
    "kube-scheduler": 15.0,
    "kubelet": 40.0,
    "kubectl": 29.0,
    "helm": 121.0,
    "kwok": 92.0,
    "operator image": 80.0,
}
_UNKNOWN = 60.0
_CORES = 2.0
#: With more cores than these a build is hardly faster: the linker has one.
_MOST_CORES = 6


class Progress:
    """The steps that are to be taken, in order."""

    def __init__(
        self, steps: Sequence[str], *, monotonic: Callable[[], float] = time.monotonic, cores: int | None = None
    ) -> None:
        self._monotonic = monotonic
        self._steps = list(steps)
        self._done: list[str] = []
        self._now: str | None = None
        self._began = 0.0
        self._spent = self._known = 0.0
        self._pace = _CORES / min(cores or os.cpu_count() or 1, _MOST_CORES)

    def begin(self, step: str) -> None:
        """Begin a step; one that was not foreseen is counted from now on."""
        if step not in self._steps:
            self._steps.append(step)
        self._now, self._began = step, self._monotonic()

    def finish(self) -> None:
        """End the step that was begun, and learn from it how fast this machine is."""
        assert self._now is not None
        self._done.append(self._now)
        # Somebody else may have taken it in the meantime: that says nothing of this machine.
        if self.elapsed > 1:
            self._spent += self.elapsed
            self._known += _seconds(self._now)
            self._pace = self._spent / self._known
        self._now = None

    @contextmanager
    def step(self, step: str, label: str) -> Iterator[None]:
        """Take a step: say what is being built while it lasts, and at its end whether it succeeded."""
        self.begin(step)
        over = threading.Event()
        telling = threading.Thread(target=self._tell, args=(label, over), daemon=True)
        telling.start()
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            over.set()
            telling.join()
            say(f"[{self.place}] {label}: {outcome} after {self.elapsed:.0f} s")
            self.finish()

    def _tell(self, label: str, over: threading.Event) -> None:
        # A terminal sees the seconds tick; a log gets a line every 15 seconds.
        terminal = sys.stderr.isatty()
        while True:
            words = f"[{self.place}] {label}: building, {self.elapsed:.0f} s, {self.left}"
            say(words, end="" if terminal else "\n")
            if over.wait(1 if terminal else 15):
                return

    @property
    def place(self) -> str:
        """Which step this is, of how many: `3 of 9`."""
        return f"{len(self._done) + (self._now is not None)} of {len(self._steps)}"

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return self._monotonic() - self._began

    @property
    def left(self) -> str:
        """How long all steps will still take, in words."""
        rest = sum(_seconds(step) for step in self._steps if step not in (*self._done, self._now)) * self._pace
        if self._now is not None:
            rest += max(0.0, _seconds(self._now) * self._pace - self.elapsed)
        return f"about {round(rest / 60)} min left" if rest >= 90 else "about a minute left"


def _seconds(step: str) -> float:
    return _SECONDS.get(step, _UNKNOWN)


def say(text: str, *, end: str = "\n") -> None:
    """Write to standard error; on a terminal each text is written over the one before it."""
    sys.stderr.write(("\r\x1b[K" if sys.stderr.isatty() else "") + text + end)
    sys.stderr.flush()
