"""The command line of the test cluster: `python -m tests.cluster up | down | status | build | image | node-tools`.

For people and for make; tests use `Cluster`. Only what a shell shall evaluate goes to standard output.
"""

import argparse
import sys
import time

from tests.cluster import state
from tests.cluster.build import BuildError
from tests.cluster.cluster import Cluster, ClusterError, end, end_stale
from tests.cluster.kind import KindError, load, require
from tests.cluster.node import KINDS, NodeUnavailableError, resolve
from tests.cluster.node_tools import install
from tests.cluster.operator_image import ImageError, build
from tests.cluster.preparation import CONTROL_PLANE, prepare
from tests.cluster.versions import KUBERNETES, UnknownVersionError, available, newest

_DEFAULT_NAME = "default"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (BuildError, ClusterError, ImageError, KindError, NodeUnavailableError, UnknownVersionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="Kubernetes clusters on 127.0.0.1, from binaries that are built once and cached.",
        epilog="The cache is $TASKSESSION_CACHE, else $XDG_CACHE_HOME/tasksession, else ~/.cache/tasksession. "
        "KUBEBUILDER_ASSETS names a folder of binaries to use instead of building them.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="start a cluster and print the export of its KUBECONFIG")
    _add_choices(up)
    up.add_argument("--name", default=_DEFAULT_NAME, help="the cluster's name (default: %(default)s)")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="end a cluster and remove all it wrote")
    down.add_argument("--name", default=_DEFAULT_NAME, help="the cluster's name (default: %(default)s)")
    down.add_argument("--all", action="store_true", help="end all clusters of this cache, running tests' too")
    down.set_defaults(run=_down)

    commands.add_parser("status", help="show all clusters").set_defaults(run=_status)

    tools = commands.add_parser("node-tools", help="install what a real node needs (Debian or Ubuntu, root)")
    tools.set_defaults(run=lambda _: install())

    image = commands.add_parser("image", help="build the operator's image with docker, podman or buildah")
    image.add_argument("--tag", default="tasksession-operator:0.1.0", help="the image's name (default: %(default)s)")
    image.add_argument("--base", help="what it runs on; needs python3 and libstdc++ (default: see the Dockerfile)")
    image.add_argument("--builder", help="what it is made on: the same Python, with venv and pip (default: the base)")
    image.add_argument("--tool", help="docker, podman or buildah (default: the first of them that works)")
    image.add_argument("--context", help="load it into this cluster of kind: kind-<name> (default: nowhere)")
    image.set_defaults(run=_image)

    compiled = commands.add_parser("build", help="build what a cluster needs, and start nothing")
    _add_choices(compiled, several=True)
    compiled.set_defaults(run=_build)
    return parser


def _add_choices(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    parser.add_argument(
        "--node",
        choices=KINDS,
        nargs="+" if several else None,
        default=["none"] if several else "none",
        help="none: control plane only; real: kubelet and containerd, needs root; kwok: pods are only played; "
        "auto: real where possible, else kwok (default: %(default)s)",
    )
    parser.add_argument(
        "--kubernetes",
        metavar="VERSION",
        default=newest(KUBERNETES),
        help=f"one of {', '.join(available(KUBERNETES))} (default: %(default)s)",
    )


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    cluster = Cluster(options.name, node=options.node, kubernetes=options.kubernetes, stays=True).up()
    cluster.api.close()
    print(
        f"cluster {cluster.name}: Kubernetes {cluster.kubernetes}, node {cluster.node}, {cluster.url}, "
        f"after {time.monotonic() - began:.1f} s; logs are in {cluster.logs}",
        file=sys.stderr,
    )
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    return 0


def _down(options: argparse.Namespace) -> int:
    ended = end_stale()
    chosen = [each for each in state.every() if options.all or each.name == options.name]
    for each in chosen:
        end(each)
        ended.append(each.name)
    print(f"ended: {', '.join(ended)}" if ended else f"there is no cluster named {options.name}", file=sys.stderr)
    return 0


def _status(_: argparse.Namespace) -> int:
    row = "{:<20} {:<11} {:<5} {:<9} {:<30} {}"
    print(row.format("NAME", "KUBERNETES", "NODE", "STATE", "URL", "PROCESSES"), flush=True)
    for each in state.every():
        running = [f"{name}={record.pid}" for name, record in each.processes.items() if record.alive]
        missing = [name for name in CONTROL_PLANE if not any(text.startswith(f"{name}=") for text in running)]
        condition = "stale" if each.stale else "broken" if missing else "running"
        url = f"https://{each.address}:{each.ports['kube-apiserver']}"
        print(row.format(each.name, each.kubernetes, each.node, condition, url, " ".join(running) or "none"))
    return 0


def _image(options: argparse.Namespace) -> int:
    if options.context:
        require(options.context)
    used = build(tag=options.tag, base=options.base, builder=options.builder, tool=options.tool)
    print(f"built {options.tag} with {used}", file=sys.stderr)
    if options.context:
        load(options.tag, tool=used, context=options.context)
        print(f"loaded it into {options.context}", file=sys.stderr)
    return 0


def _build(options: argparse.Namespace) -> int:
    nodes = [resolve(kind) for kind in options.node]
    for name, path in prepare(nodes, kubernetes=options.kubernetes).items():
        print(f"{name}: {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
