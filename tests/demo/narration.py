"""What the demo prints: steps with the time since it began, and facts that were checked as they were shown.

Used by the demo alone. A fact that does not hold ends the demo; nothing is printed as true that was not observed.
"""

import sys
import time


class NotObserved(Exception):
    """The demo did not see what it was to show."""


class Narration:
    """Prints to standard output."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.facts = 0

    def chapter(self, text: str) -> None:
        """Begin a part."""
        self._print(f"\n{text}")

    def step(self, text: str) -> None:
        """Say what happens next."""
        self._print(f"[{time.monotonic() - self._started:5.1f} s] {text}")

    def quote(self, text: str) -> None:
        """Show what a command or a pod printed."""
        for line in text.rstrip().splitlines():
            self._print(f"            | {line}")

    def fact(self, holds: bool, text: str, otherwise: str = "") -> None:
        """Show something that was just observed; raises NotObserved where it does not hold."""
        self._print(f"          {'✓' if holds else '✗'} {text}")
        if not holds:
            raise NotObserved(f"{text}: not observed{f' ({otherwise})' if otherwise else ''}")
        self.facts += 1

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._started

    @staticmethod
    def _print(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
