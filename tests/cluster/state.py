"""What is recorded of each cluster: enough to end it, whoever started it and however that one ended.

One folder for a cluster, `<cache>/clusters/<name>`: `cluster.json` (its owner, its ports), `pids/` (a file for each
process), certificates, kubeconfigs, data and logs. Called by the cluster and the command line. It never ends a
process that it did not record.
"""

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster import process
from tests.cluster.cache import cache_folder, clusters_folder, locked


@dataclass(frozen=True)
class State:
    """A cluster's record. `owner` is the process whose end makes the cluster stale; None: it stays until `down`."""

    name: str
    node: str
    kubernetes: str
    ports: dict[str, int] = field(default_factory=dict)
    owner: process.Record | None = None
    boot: str = ""
    address: str = "127.0.0.1"

    @property
    def folder(self) -> Path:
        """Return the cluster's folder."""
        return clusters_folder() / self.name

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def processes(self) -> dict[str, process.Record]:
        """Return the recorded processes by name, running or not; none when the machine was restarted since."""
        if self.boot != boot_id():
            return {}
        found = {path.name: process.read_record(path) for path in sorted((self.folder / "pids").glob("*"))}
        return {name: record for name, record in found.items() if record is not None}

    @property
    def stale(self) -> bool:
        """Tell whether this is only a crash's remains: the machine was restarted, its owner or all of it is gone."""
        if self.boot != boot_id():
            return True
        if self.owner is not None:
            return not self.owner.alive
        return not any(record.alive for record in self.processes.values())

    def write(self) -> None:
        """Write the record, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.folder / ".cluster.json"
        partial.write_text(json.dumps(asdict(self), indent=2))
        partial.replace(self.folder / "cluster.json")


def boot_id() -> str:
    """Return the kernel's name for this boot: pids recorded before the last one mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read(name: str) -> State | None:
    """Return the record of a cluster, or None if there is none."""
    try:
        content = json.loads((clusters_folder() / name / "cluster.json").read_text())
    except (OSError, ValueError):
        return None
    owner = content.pop("owner")
    return State(**content, owner=process.Record(**owner) if owner else None)


def every() -> list[State]:
    """Return the records of all clusters."""
    folders = sorted(clusters_folder().glob("*/")) if clusters_folder().exists() else []
    return [state for folder in folders if (state := read(folder.name)) is not None]


def registry_lock() -> Path:
    """Return the file whose lock is held while a cluster is recorded, so that two never choose the same ports."""
    return cache_folder() / "clusters.lock"


def own_process() -> process.Record:
    """Return the record of this process, as the owner of clusters that shall end with it."""
    found = process.observe(os.getpid())
    assert found is not None
    return found


def keep_logs(state: State) -> Path:
    """Copy a cluster's logs to where they outlive it; return that folder."""
    kept = cache_folder() / "logs" / f"{state.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    shutil.copytree(state.folder / "logs", kept, dirs_exist_ok=True)
    return kept


def remove(state: State) -> None:
    """Remove a cluster's folder; its processes must have ended."""
    with locked(registry_lock()):
        shutil.rmtree(state.folder, ignore_errors=True)
