"""The images of the real node, made from what the machine has: no registry is asked.

Called by the real node. Two docker archives: what test pods run (busybox's shell and tools, kubectl) and the sandbox
that holds a pod together.
"""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

TASK_IMAGE = "tasksession.dev/test/task:latest"
SANDBOX_IMAGE = "tasksession.dev/test/sandbox:latest"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PASSWD = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"


def write_task_image(path: Path, *, busybox: Path, kubectl: Path) -> None:
    """Write the archive of `TASK_IMAGE`: a shell, the usual tools, kubectl, and no user but root and nobody."""
    listed = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in listed if applet != "busybox"}
    files = {"bin/busybox": busybox.read_bytes(), "bin/kubectl": kubectl.read_bytes(), "etc/passwd": _PASSWD.encode()}
    _write(path, name=TASK_IMAGE, files=files, links=links, entrypoint=["/bin/sh"])


def write_sandbox_image(path: Path, *, busybox: Path) -> None:
    """Write the archive of `SANDBOX_IMAGE`, which only sleeps."""
    sleep = ["/bin/busybox", "sleep", "2147483647"]
    _write(path, name=SANDBOX_IMAGE, files={"bin/busybox": busybox.read_bytes()}, links={}, entrypoint=sleep)


def _write(
    path: Path, *, name: str, files: Mapping[str, bytes], links: Mapping[str, str], entrypoint: Sequence[str]
) -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        for target, content in files.items():
            _add(archive, target, content, mode=0o755 if target.startswith("bin/") else 0o644)
        for link, target in links.items():
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    content = layer.getvalue()
    machine = platform.machine()
    configuration = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"], "WorkingDir": "/tmp"},  # noqa: S108
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, mode="w") as archive:
        _add(archive, "layer.tar", content)
        _add(archive, "config.json", json.dumps(configuration).encode())
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
