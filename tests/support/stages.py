"""`python -m tests.support.stages STAGE…`: targets of the Makefile, one after the other, and what each took.

Called by `make test` and by CI, so that one run shows where its time goes. The first stage that fails ends the run; the
table is printed all the same. It measures wall time only, and decides nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence


def make(target: str) -> int:
    """Run a target of the Makefile; returns its exit status."""
    # Make's own variables would hand on the options of the make that called us, its job server among them.
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        [os.environ.get("MAKE", "make"), *shlex.split(target)], check=False, env=environment
    ).returncode


def run(stages: Sequence[str], *, stage: Callable[[str], int] = make, say: Callable[[str], None] = print) -> int:
    """Run all stages until one fails, and say what each took; returns the exit status of the last."""
    took: list[tuple[str, float, int]] = []
    for each in stages:
        began = time.monotonic()
        status = stage(each)
        took.append((each, time.monotonic() - began, status))
        if status:
            break
    width = max(len(each) for each in stages)
    say("")
    for name, seconds, status in took:
        say(f"{name:<{width}}  {_clock(seconds)}  {'failed' if status else 'passed'}")
    for name in stages[len(took) :]:
        say(f"{name:<{width}}   --:--  not run")
    say(f"{'all':<{width}}  {_clock(sum(seconds for _, seconds, _ in took))}")
    return took[-1][2] if took else 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:3}:{rest:02}"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
