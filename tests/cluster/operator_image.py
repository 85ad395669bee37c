"""The operator's image: built by `make image` for people, and once for each content into the cache for tests.

Called by the command line, by e2e tests and by the demo. Where no registry can be reached there is no base to start
from: then one is made of Debian's packages, by apt, whose signatures it checks. Nothing is installed on the machine.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.cache import cache_folder, locked
from tests.cluster.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
#: The name that the chart has for the image by default.
OPERATOR_IMAGE = "tasksession-operator:0.1.0"
#: What the image is made of; a change of any makes another image.
_SOURCES = ("Dockerfile", "LICENSE", "image", "operator/tasksession", "requirements/runtime.txt")
_TOOLS = ("docker", "podman", "buildah")
_PACKAGES = ("python3", "libstdc++6")
_BUILDER_PACKAGES = ("python3-venv",)
# What packages name as needed for being installed, not for running.
_LEFT_OUT = ("ca-certificates", "debconf", "dpkg", "openssl", "readline-common", "tar")
_NEEDLESS = ("usr/share/doc", "usr/share/lintian", "usr/share/locale", "usr/share/man")
_PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")


class ImageError(Exception):
    """The image could not be built; the message says what to do, or holds the end of the tool's output."""


def build(*, tag: str, base: str | None, builder: str | None, tool: str | None) -> str:
    """Build the image with a tool of the machine, for its own store; return the tool's name."""
    chosen = tool or _usable_tool()
    # Only docker names it so by itself; the others may ask which registry is meant.
    local = tag if chosen == "docker" or "/" in tag else f"localhost/{tag}"
    command = [chosen, "build", "--tag", local, *_labels()]
    if base:
        command += ["--build-arg", f"BASE={base}", "--build-arg", f"BUILDER={builder or base}"]
    _run([*command, *_pip_settings(mounts=chosen != "docker"), str(ROOT)])
    return chosen


def is_cached() -> bool:
    """Whether this content was built already."""
    return _archive().exists()


def cached_archive(progress: Progress | None = None) -> Path:
    """Return a docker archive of the operator's image, built first where this content was never built."""
    archive = _archive()
    folder = archive.parent
    with locked(folder / "lock"):
        if not archive.exists():
            began = archive.with_suffix(".partial")
            began.unlink(missing_ok=True)
            with (progress or Progress(["operator image"])).step("operator image", "the operator's image"):
                _build_archive(began)
            for old in folder.glob("operator-*.tar"):
                old.unlink()
            began.replace(archive)
    return archive


def _archive() -> Path:
    return cache_folder() / "images" / f"operator-{_key()}.tar"


def why_not() -> str | None:
    """Return, in one sentence, what keeps this machine from building the image without a registry; None if nothing."""
    missing = [program for program in ("buildah", "apt-get", "dpkg-deb") if shutil.which(program) is None]
    if not missing:
        return None
    return f"the operator's image needs {', '.join(missing)}: `make node-tools` installs buildah on Debian and Ubuntu"


def _usable_tool() -> str:
    for tool in _TOOLS:
        # A client without its daemon is of no use.
        if shutil.which(tool) and subprocess.run([tool, "info"], capture_output=True, check=False).returncode == 0:
            return tool
    raise ImageError("there is no docker, podman or buildah that works: install one of them, or start its daemon")


def _key() -> str:
    digest = hashlib.sha256(repr((_PACKAGES, _BUILDER_PACKAGES, _LEFT_OUT)).encode())
    for source in _SOURCES:
        path = ROOT / source
        for file in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
            if file.suffix != ".pyc":
                digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_mode & 0o111}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _build_archive(archive: Path) -> None:
    if reason := why_not():
        raise ImageError(reason)
    folder = archive.parent
    # A store of its own, which keeps the layers: changed code alone is quickly packed. Chroot needs no namespaces.
    store = ["--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", _storage_driver(folder)]
    bud = ["buildah", *store, "bud", "--isolation", "chroot", "--network", "host", "--layers"]
    made_of = hashlib.sha256(repr((_PACKAGES, _BUILDER_PACKAGES, _LEFT_OUT, _NEEDLESS)).encode()).hexdigest()[:12]
    bases = {name: f"localhost/tasksession-{name}:{made_of}" for name in ("base", "builder")}
    if any(_fails(["buildah", *store, "inspect", "--type", "image", base]) for base in bases.values()):
        with tempfile.TemporaryDirectory(prefix="tasksession-image-") as name:
            recipe = Path(name) / "base.Dockerfile"
            recipe.write_text("FROM scratch\nCOPY . /\n")
            for kind, root in _unpack(Path(name)).items():
                _run([*bud, "--quiet", "--tag", bases[kind], "--file", str(recipe), str(root)])
    chosen = ["--build-arg", f"BASE={bases['base']}", "--build-arg", f"BUILDER={bases['builder']}"]
    built = f"localhost/{OPERATOR_IMAGE}"
    _run([*bud, *chosen, *_labels(), *_pip_settings(mounts=True), "--tag", built, str(ROOT)])
    _run(["buildah", *store, "push", "--quiet", built, f"docker-archive:{archive}:{OPERATOR_IMAGE}"])


def _storage_driver(folder: Path) -> str:
    """Return overlay where the cache's file system can carry one, else plain copies."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        parts = [Path(name) / part for part in ("lower", "upper", "work", "merged")]
        for part in parts:
            part.mkdir()
        options = "lowerdir={},upperdir={},workdir={}".format(*parts)
        if _fails(["mount", "-t", "overlay", "overlay", "-o", options, str(parts[3])]):
            return "vfs"
        _run(["umount", str(parts[3])])
    return "overlay"


def _fails(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def _unpack(folder: Path) -> Mapping[str, Path]:
    """Unpack Debian's Python with what it needs: as a base, and with pip as what the image is made on."""
    packages = folder / "packages"
    (packages / "partial").mkdir(parents=True)
    (folder / "status").touch()
    # As if nothing was installed yet: then apt fetches all that the packages need.
    apt = [
        "apt-get", "--quiet", "--yes", "--no-install-recommends", "--download-only",
        "-o", f"Dir::State::status={folder / 'status'}", "-o", f"Dir::Cache::archives={packages}",
        "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "install",
    ]  # fmt: skip
    roots = {name: folder / name for name in ("base", "builder")}
    for name, wanted in (("base", _PACKAGES), ("builder", (*_PACKAGES, *_BUILDER_PACKAGES))):
        root = roots[name]
        _run([*apt, *wanted])
        for file in sorted(packages.glob("*.deb")):
            if file.name.partition("_")[0] not in _LEFT_OUT:
                _run(["dpkg-deb", "--extract", str(file), str(root)])
        for needless in _NEEDLESS:
            shutil.rmtree(root / needless, ignore_errors=True)
        for made in ("dev", "etc", "proc", "sys", "tmp"):
            (root / made).mkdir(exist_ok=True)
        (root / "tmp").chmod(0o1777)
    return roots


def _labels() -> list[str]:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return ["--build-arg", f"REVISION={done.stdout.strip()}"] if done.returncode == 0 else []


def _pip_settings(*, mounts: bool) -> list[str]:
    """Hand on how pip reaches its packages on this machine; files of it are mounted where the tool can do that."""
    found: list[str] = []
    for name in _PIP_SETTINGS:
        value = os.environ.get(name)
        if not value:
            continue
        local = Path(value)
        if name in ("PIP_FIND_LINKS", "PIP_CERT") and local.exists():
            if not mounts:
                continue
            found += ["--volume", f"{local.resolve()}:{local}:ro"]
        found += ["--build-arg", f"{name}={value}"]
    return found


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ImageError(f"{' '.join(command[:2])} failed:\n{tail}")
