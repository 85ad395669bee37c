"""Processes that outlive the one that started them, and are ended only by a recorded pid that is still theirs.

Called by the cluster and the node. A process writes its own record before it turns into the program, so that there
is no moment at which it runs unrecorded, whenever its parent is killed. It never signals a pid whose start time
differs from the record: pids are reused.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import preloaded

# The shell becomes the program by exec: pid and start time, which are fields of this line, stay the same.
_RECORD_AND_RUN = 'read -r line </proc/$$/stat; printf "%s\\n" "$line" >"$0"; exec "$@"'

_children: dict[int, "subprocess.Popen[bytes]"] = {}


@dataclass(frozen=True)
class Record:
    """A process as recorded: its pid and its start time in ticks since boot, which together are unique until reboot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Tell whether this very process still runs; a zombie does not."""
        child = _children.get(self.pid)
        if child is not None and child.poll() is not None:
            return False
        found = observe(self.pid)
        return found == self


def observe(pid: int) -> Record | None:
    """Return the record of a running process, or None if there is none of that pid or only its zombie."""
    try:
        return _parse(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return None


def _parse(stat: str) -> Record | None:
    # The program's name stands in parentheses and may itself hold spaces and parentheses.
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return Record(pid=int(head.split()[0]), started=int(fields[19]))


def read_record(path: Path) -> Record | None:
    """Return the record in a file, or None when the process was killed before it could write it."""
    try:
        return _parse(path.read_text())
    except (OSError, ValueError, IndexError):
        return None


def start(
    command: Sequence[str | Path], *, record: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Record:
    """Start a program in a session of its own, its output appended to `log`; `record` is its record's file."""
    record.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _RECORD_AND_RUN, str(record), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    _children[child.pid] = child
    return _recorded(record, log, failed=lambda: child.poll() is not None)


def start_preloaded(arguments: Sequence[str | Path], *, record: Path, log: Path) -> Record:
    """Start the operator in a session of its own, its modules imported already; as `start` in all else."""
    record.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    pid = preloaded.start(arguments, record=record, log=log)
    return _recorded(record, log, failed=lambda: observe(pid) is None)


def _recorded(record: Path, log: Path, *, failed: Callable[[], bool]) -> Record:
    """Wait for a process to write its record."""
    deadline = time.monotonic() + 10
    while (found := read_record(record)) is None:
        if failed() or time.monotonic() > deadline:
            raise ChildProcessError(f"a process did not start; its output is in {log}")
        time.sleep(0.002)
    return found


def send(record: Record, number: signal.Signals) -> bool:
    """Send a signal to a recorded process; False when it no longer runs."""
    if not record.alive:
        return False
    try:
        os.kill(record.pid, number)
    except ProcessLookupError:
        return False
    return True


def end(record: Record, *, grace: float = 0.0) -> None:
    """End a recorded process: SIGTERM and `grace` seconds, if any are given, then SIGKILL; return when it is gone."""
    if grace and send(record, signal.SIGTERM):
        _gone(record, timeout=grace)
    if send(record, signal.SIGKILL) and not _gone(record, timeout=10):
        raise TimeoutError(f"process {record.pid} did not end within 10 s of SIGKILL")
    child = _children.pop(record.pid, None)
    if child is not None:
        child.wait()


def _gone(record: Record, *, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while record.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
