"""Makes all that clusters of some kinds are made of, with one count of the steps.

Called by `python -m tests.cluster build` and by the demo, so that a first build says at its start how long it takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.cluster.build import binaries, steps
from tests.cluster.node import binaries_of
from tests.cluster.operator_image import cached_archive, is_cached, why_not
from tests.cluster.progress import Progress

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
IMAGE = "operator image"


def names_for(nodes: Iterable[str]) -> list[str]:
    """Name the binaries of clusters with these kinds of nodes, those that compile first first."""
    kinds = list(nodes)
    of_nodes = [name for kind in kinds for name in binaries_of(kind)]
    scheduler = ["kube-scheduler"] if any(kind != "none" for kind in kinds) else []
    return list(dict.fromkeys([*CONTROL_PLANE, *scheduler, *of_nodes, "kubectl", "helm"]))


def prepare(nodes: Iterable[str], *, kubernetes: str) -> dict[str, Path]:
    """Build what is missing for these kinds of nodes: binaries, and for a real node the operator's image if it can be.

    Returns the path of each by its name. Raises what the builders raise.
    """
    kinds = list(nodes)
    names = names_for(kinds)
    with_image = "real" in kinds and why_not() is None
    missing = steps(names, kubernetes=kubernetes)
    progress = Progress([*missing, *([IMAGE] if with_image and not is_cached() else [])])
    found = binaries(names, kubernetes=kubernetes, progress=progress)
    if with_image:
        found[IMAGE] = cached_archive(progress)
    return found
