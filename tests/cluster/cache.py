"""Where the test cluster keeps what outlives a checkout: binaries, clusters' folders, logs, markers.

Called by everything in this package. It never touches the checkout, so that `git clean` costs no rebuild and a
read-only checkout can be tested.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache: `$TASKSESSION_CACHE`, else `$XDG_CACHE_HOME/tasksession`, else `~/.cache/tasksession`."""
    if own := os.environ.get("TASKSESSION_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tasksession"


def clusters_folder() -> Path:
    """Return the folder with one folder for each cluster."""
    return cache_folder() / "clusters"


def node_tools_marker() -> Path:
    """Return the file that `make node-tools` leaves: with it, a missing node is a failure and not a skip."""
    return cache_folder() / "node-tools"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if missing); the kernel lets go of it however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
