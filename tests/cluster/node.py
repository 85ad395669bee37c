"""Which node a cluster gets, and what each kind needs.

Called by the cluster. A kind that cannot be had on this machine is refused with one sentence that says what is missing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.cluster import containers, real_node
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.real_node import RealNode
from tests.cluster.simulated_node import SimulatedNode
from tests.cluster.state import State

KINDS = ("none", "real", "kwok", "auto")


class NodeUnavailableError(Exception):
    """This machine cannot run the kind of node that was asked for; the message says what is missing."""


class Node(Protocol):
    """A node of the cluster."""

    name: str

    def start(self, api: Api) -> None:
        """Start the node and wait until it is Ready."""


def resolve(kind: str) -> str:
    """Return the kind of node to run for the one asked for: `auto` becomes `real` where that works, else `kwok`.

    Raises `NodeUnavailableError` when a real node is asked for and cannot be had.
    """
    if kind not in KINDS:
        raise NodeUnavailableError(f"there is no node of kind {kind!r}: choose one of {', '.join(KINDS)}")
    if kind == "auto":
        return "kwok" if real_node.why_not() else "real"
    if kind == "real" and (reason := real_node.why_not()):
        raise NodeUnavailableError(reason)
    return kind


def binaries_of(kind: str) -> list[str]:
    """Return the binaries that a kind of node is made of."""
    return {"none": [], "real": ["kubelet", "kubectl"], "kwok": ["kwok"]}[kind]


def make_node(kind: str, *, plane: ControlPlane, state: State, binaries: Mapping[str, Path]) -> Node:
    """Return a node of a kind, not yet started."""
    if kind == "real":
        return RealNode(plane=plane, state=state, binaries=binaries)
    return SimulatedNode(plane=plane, state=state, binaries=binaries)


def clean_up(state: State) -> None:
    """End what a node left that is not among its cluster's recorded processes: containers and mounts."""
    if state.node == "real":
        containers.remove(state)
