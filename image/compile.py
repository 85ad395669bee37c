"""Compiles what is in the image, once, and takes out what the operator does not use. Run by the Dockerfile.

The root file system is read-only when the operator runs, so that Python could not keep what it compiles. The Kubernetes
client has a module for each kind of object, with long docstrings: without those and without its source it takes a third
of the room, and is loaded sooner. cel's extensions are never switched on (conditions use the plain language).
"""

import compileall
import pathlib
import py_compile
import shutil
import site
import sys


def main() -> None:
    """Compile the environment's packages, or the operator's own."""
    if sys.argv[1:] == ["source"]:
        compiled(pathlib.Path("/opt/operator"))
        return
    packages = pathlib.Path(site.getsitepackages()[0])
    shutil.rmtree(packages / "cel_expr_python" / "ext")
    client = packages / "kubernetes"
    compiled(client, legacy=True, optimize=2)
    for source in client.rglob("*.py"):
        source.unlink()
    compiled(packages)


def compiled(folder: pathlib.Path, *, legacy: bool = False, optimize: int = -1) -> None:
    """Compile a folder; the modules are not looked at again, for they cannot change."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=1, workers=0, legacy=legacy, optimize=optimize, invalidation_mode=mode):
        sys.exit(f"{folder} could not be compiled")


main()
