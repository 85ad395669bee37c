"""Ends what a real node leaves outside its processes: containers, their shims, mounts, network namespaces, cgroups.

Called when a cluster ends, also by a later run, when containerd itself may be gone: so it asks the kernel and the
node's folders and not containerd. A process is one of ours if its cgroup bears the container's id, or if its command
line names the node's own socket; no other is touched.
"""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.cluster import process
from tests.cluster.state import State

_CONTAINER_LOGS = Path("/var/log/containers")
_CGROUPS = Path("/sys/fs/cgroup")


def remove(state: State) -> None:
    """End kubelet, containers, shims and containerd of a cluster, in this order; unmount what lies in its folder."""
    recorded = state.processes
    folder = state.folder / "node"
    # First the kubelet, which would start ended containers anew.
    if "kubelet" in recorded:
        process.end(recorded["kubelet"])
    bundles = sorted((folder / "run" / "io.containerd.runtime.v2.task" / "k8s.io").glob("*"))
    namespaces = {path for bundle in bundles if (path := _network_namespace(bundle))}
    for bundle in bundles:
        _end_container(bundle)
    _end_shims(folder / "containerd.sock")
    if "containerd" in recorded:
        process.end(recorded["containerd"])
    for path in namespaces:
        subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)
        path.unlink(missing_ok=True)
    for mount in _mounts_below(state.folder):
        subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
    for bundle in bundles:
        _remove_cgroups(bundle.name)
    for link in _CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{state.folder}/"):
            link.unlink(missing_ok=True)


def _end_container(bundle: Path) -> None:
    try:
        pid = int((bundle / "init.pid").read_text())
        mine = bundle.name in Path(f"/proc/{pid}/cgroup").read_text()
    except (OSError, ValueError):
        return
    record = process.observe(pid) if mine else None
    if record is not None:
        process.send(record, signal.SIGKILL)


def _end_shims(socket: Path) -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        record = process.observe(int(folder.name))
        if b"-address" in arguments and os.fsencode(socket) in arguments and record is not None:
            process.end(record)


def _network_namespace(bundle: Path) -> Path | None:
    try:
        namespaces = json.loads((bundle / "config.json").read_text())["linux"]["namespaces"]
    except (OSError, ValueError, KeyError):
        return None
    paths = (Path(each["path"]) for each in namespaces if each["type"] == "network" and "path" in each)
    return next((path for path in paths if "/netns/" in str(path)), None)


def _mounts_below(folder: Path) -> list[str]:
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # The deepest first; the kernel writes blanks of a path as \\040.
    return sorted((each for each in mounted if each.startswith(f"{folder}/")), reverse=True)


def _remove_cgroups(container: str) -> None:
    patterns = (f"k8s.io/{container}", f"*/k8s.io/{container}")
    for path in (path for pattern in patterns for path in _CGROUPS.glob(pattern)):
        try:
            path.rmdir()
        except OSError:
            continue  # its processes are still dying; an empty cgroup costs nothing
