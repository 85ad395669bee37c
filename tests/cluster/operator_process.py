"""The operator as a process of its own, with the rights of its own ServiceAccount and nothing more.

Started by tests and by the demo, on a cluster where the chart is installed without its Deployment. It can be killed
and started again, as a node or a kernel would; it is ended by its recorded pid.
"""

import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import process
from tests.cluster.api import Api
from tests.cluster.waiting import wait_for

NAMESPACE = "tasksession-system"
SERVICE_ACCOUNT = "tasksession-operator"


def operator_kubeconfig(admin: Api, path: Path, *, namespace: str = NAMESPACE) -> Path:
    """Write a kubeconfig with a token of the operator's ServiceAccount, good for a day."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
    answer = admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{SERVICE_ACCOUNT}/token", request)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": admin.url, "certificate-authority": str(admin.authority)}}],
        "users": [{"name": "operator", "user": {"token": answer["status"]["token"]}}],
        "contexts": [{"name": "operator", "context": {"cluster": "test", "user": "operator"}}],
        "current-context": "operator",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


class OperatorProcess:
    """One operator. Use it as a context manager, or by `start`, `kill` and `stop`."""

    def __init__(
        self,
        *,
        kubeconfig: Path,
        folder: Path,
        namespaces: Sequence[str] = (),
        arguments: Sequence[str] = (),
        record: Path | None = None,
        preload: bool = False,
    ) -> None:
        """Prepare it. `preload`: its modules are imported once for all that this process starts."""
        self._preload = preload
        self.log = folder / "operator.log"
        self._record = record or folder / "operator.pid"
        self._kubeconfig = kubeconfig
        self._arguments = [*(["--namespaces", ",".join(namespaces)] if namespaces else []), *arguments]
        self._running: process.Record | None = None
        self._ready_before = 0

    def __enter__(self) -> "OperatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, wait: bool = True) -> "OperatorProcess":
        """Start it, and wait until it has seen the cluster and works."""
        self._ready_before = len(self.lines("the operator is ready"))
        address = ["--probe-address", "127.0.0.1:0"]
        arguments = ["run", "--kubeconfig", str(self._kubeconfig), *address, *self._arguments]
        if self._preload:
            self._running = process.start_preloaded(arguments, record=self._record, log=self.log)
        else:
            self._running = process.start(
                [sys.executable, "-m", "tasksession", *arguments],
                record=self._record,
                log=self.log,
                environment={
                    "PYTHONPATH": os.pathsep.join(["operator", os.environ.get("PYTHONPATH", "")]),
                    # Compiling its modules anew would be a fifth of each start.
                    "PYTHONDONTWRITEBYTECODE": "",
                },
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 30) -> None:
        """Wait until it says that it is ready; an operator that ended instead fails with its log's last lines."""

        def ready() -> bool:
            if self._running is None or not self._running.alive:
                raise ChildProcessError(f"the operator ended:\n{self.tail()}")
            return len(self.lines("the operator is ready")) > self._ready_before

        wait_for(ready, timeout=timeout, what="the operator to be ready")

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no last words."""
        assert self._running is not None
        process.end(self._running)
        self._running = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._running is not None
        process.send(self._running, number)

    def stop(self, *, grace: float = 25.0) -> None:
        """Stop it by SIGTERM, and by SIGKILL where that does not help."""
        if self._running is not None:
            process.end(self._running, grace=grace)
            self._running = None

    @property
    def pid(self) -> int:
        """The process id of the running operator."""
        assert self._running is not None
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._running is not None and self._running.alive

    @property
    def died(self) -> bool:
        """Whether it ended without having been told to."""
        return self._running is not None and not self._running.alive

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Read the JSON log lines with a message."""
        return [line for line in self._json_lines(message) if line.get("message") == message]

    def tail(self, count: int = 30) -> str:
        """Read the last lines of its log."""
        return "\n".join(self.log.read_text().splitlines()[-count:]) if self.log.exists() else ""

    def _json_lines(self, containing: str) -> Iterator[dict[str, Any]]:
        if not self.log.exists():
            return
        for line in self.log.read_text().splitlines():
            # Logs grow long where an operator is killed again and again, and are read while it starts.
            if line.startswith("{") and containing in line:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def probe(self, path: str) -> tuple[int, str]:
        """Ask a probe; status and text."""
        started = self.lines("the probes are served")
        address = re.sub(r"[^0-9.:]", "", str(started[-1]["address"]))
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return int(answer.status), str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
