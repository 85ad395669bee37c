"""The operator's modules, imported once for all operators that one process of tests starts.

An operator that is killed hundreds of times is started hundreds of times, and nearly all of a start is importing: a
second of processor time. A server that has imported what `tasksession run` imports, and done nothing else, forks for
each start. The child is an operator as any other: a session, a pid, a log, an environment and an end of its own. The
start of a fresh interpreter is tested by those who ask for it: the tests of the process itself, the demo, the examples
and the benchmark.

`OperatorProcess` calls `start`; the server runs `serve`, and ends when its standard input does.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_lock = threading.Lock()
_server: subprocess.Popen[bytes] | None = None


def start(arguments: Sequence[str | Path], *, record: Path, log: Path) -> int:
    """Start `tasksession` with arguments; returns its pid. Its record is in `record`, its output in `log`."""
    request = {"arguments": [str(each) for each in arguments], "record": str(record), "log": str(log)}
    with _lock:
        server = _running_server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        answer = server.stdout.readline()
    if not answer:
        raise ChildProcessError("the server that starts operators has ended")
    return int(answer)


def _running_server() -> subprocess.Popen[bytes]:
    global _server
    if _server is None or _server.poll() is not None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(["operator", os.environ.get("PYTHONPATH", "")]),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        _server = subprocess.Popen(
            [sys.executable, "-c", "from tests.cluster.preloaded import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        atexit.register(_end, _server)
    return _server


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait(10)


def serve() -> None:
    """Fork for each line of standard input."""
    import tasksession.cli.main
    import tasksession.cli.run
    import tasksession.observability.logs  # noqa: F401 - imported for the children

    assert threading.active_count() == 1, "a process with threads cannot be forked"
    # The kernel takes the children that have ended: nobody waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            _become_operator(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become_operator(request: Mapping[str, Any]) -> None:
    """Turn into what a shell would have started, and never return."""
    from tasksession.cli.main import main

    status: object = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.unfreeze()
        os.setsid()
        silence = os.open(os.devnull, os.O_RDONLY)
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for number, opened in ((0, silence), (1, log), (2, log)):
            os.dup2(opened, number)
        os.close(silence)
        os.close(log)
        Path(request["record"]).write_text(Path("/proc/self/stat").read_text())
        main(request["arguments"], prog_name="tasksession-operator", standalone_mode=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))
