"""Loads an image of this machine into a cluster of kind, with whichever tool built it.

Called by `make image CONTEXT=kind-…` and by the demo. It changes nothing of the cluster but the images of its nodes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

PREFIX = "kind-"


class KindError(Exception):
    """The image could not be loaded; the message says what to do, or is kind's own."""


def is_kind(context: str) -> bool:
    """Whether a context is, by its name, one that kind wrote into the kubeconfig."""
    return context.startswith(PREFIX)


def require(context: str) -> None:
    """Make sure, before anything is built, that an image can be loaded there. Raises KindError."""
    if not is_kind(context):
        raise KindError(
            f"images are loaded into clusters of kind, whose contexts begin with {PREFIX}: push the image to a "
            f"registry that {context} pulls from"
        )
    if shutil.which("kind") is None:
        raise KindError("kind is not on PATH: install it, or push the image to a registry that the cluster pulls from")


def load(image: str, *, tool: str, context: str) -> None:
    """Load an image that `tool` built into the nodes of a context's cluster, under the same name."""
    require(context)
    with tempfile.TemporaryDirectory(prefix="tasksession-kind-") as folder:
        for command in commands(image, tool=tool, context=context, archive=Path(folder) / "image.tar"):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise KindError(f"{' '.join(command[:3])} failed:\n{(done.stderr or done.stdout).strip()}")


def commands(image: str, *, tool: str, context: str, archive: Path) -> list[list[str]]:
    """What to run: kind reads docker's own store, and from the others an archive."""
    name = ["--name", context.removeprefix(PREFIX)]
    if tool == "docker":
        return [["kind", "load", "docker-image", image, *name]]
    # Both name what they built localhost/…; in the archive it gets the name that the chart has.
    packed = [tool, "push", "--quiet", f"localhost/{image}", f"docker-archive:{archive}:{image}"]
    return [packed, ["kind", "load", "image-archive", str(archive), *name]]
