"""A Kubernetes cluster on 127.0.0.1 for tests and the demo: a control plane, and a node where one is asked for.

Use it as a context manager, or by `up` and `down`. It ends only processes that it recorded, and it begins by ending
what crashed runs left behind.
"""

import itertools
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tests.cluster import process, state
from tests.cluster.api import Api, ApiError
from tests.cluster.build import binaries
from tests.cluster.cache import locked
from tests.cluster.control_plane import ADDRESS_FOR_PODS, ENVIRONMENT, PORTS, ControlPlane
from tests.cluster.node import Node, clean_up, make_node, resolve
from tests.cluster.ports import free_ports
from tests.cluster.preparation import CONTROL_PLANE, names_for
from tests.cluster.real_node import RealNode
from tests.cluster.versions import KUBERNETES, newest
from tests.cluster.waiting import wait_for

_numbers = itertools.count(1)


class ClusterError(Exception):
    """The cluster did not start; the message says which part, and where its logs are."""


class Cluster:
    """One cluster. It ends with this process, unless `stays` is true: then only `down` ends it.

    `node` is `none`, `real` (a kubelet and containerd; root), `kwok` (pods are only played) or `auto` (real where
    possible, else kwok).
    """

    def __init__(
        self, name: str | None = None, *, node: str = "none", kubernetes: str | None = None, stays: bool = False
    ) -> None:
        self.name = name or f"test-{os.getpid()}-{next(_numbers)}"
        self.kubernetes = kubernetes or newest(KUBERNETES)
        self.node = resolve(node)
        self._stays = stays
        self._state = state.State(name=self.name, node=self.node, kubernetes=self.kubernetes)
        self._binaries: dict[str, Path] = {}
        self._plane: ControlPlane | None = None
        self._node: Node | None = None
        self._api: Api | None = None
        self.folder = self._state.folder

    def __enter__(self) -> "Cluster":
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down(keep_logs=error is not None)

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self._state.kubeconfig

    @property
    def api(self) -> Api:
        """Return the administrator's client."""
        assert self._api is not None, "the cluster is not up"
        return self._api

    @property
    def url(self) -> str:
        """Return the API server's address."""
        return self.plane.url

    @property
    def ca(self) -> Path:
        """Return the certificate authority's file."""
        return self.plane.authority.certificate_path

    @property
    def audit_log(self) -> Path:
        """Return the audit log: a JSON line for each request, at Metadata level; a watch's comes at its end."""
        return self.plane.audit_log

    @property
    def logs(self) -> Path:
        """Return the folder with the log of each process."""
        return self.folder / "logs"

    @property
    def kubectl(self) -> Path:
        """Return the path of kubectl, built at the first use."""
        return self._binary("kubectl")

    @property
    def helm(self) -> Path:
        """Return the path of helm, built at the first use."""
        return self._binary("helm")

    @property
    def plane(self) -> ControlPlane:
        """Return the control plane's files and commands."""
        assert self._plane is not None, "the cluster is not up"
        return self._plane

    @property
    def node_name(self) -> str | None:
        """Return the name of the node, or None when the cluster has none."""
        return self._node.name if self._node else None

    def up(self) -> "Cluster":
        """Start everything and wait until it serves; a failure ends what was started and says where the logs are."""
        end_stale()
        # All of it at once, kubectl and helm too: a first build says in advance how many there are.
        self._binaries = binaries(names_for([self.node]), kubernetes=self.kubernetes)
        self._record()
        try:
            self._plane = ControlPlane(
                folder=self.folder, address=self._state.address, ports=self._state.ports, binaries=self._binaries
            )
            self._plane.prepare()
            # The others end themselves when the API server is not there at their start.
            for name in CONTROL_PLANE[:2]:
                self.start(name, wait=False)
            self._wait_until_served()
            for name in (*CONTROL_PLANE[2:], *(["kube-scheduler"] if self.node != "none" else [])):
                self.start(name, wait=False)
            self._api = Api.from_kubeconfig(self.kubeconfig)
            self._wait_until_controlled()
            if self.node != "none":
                self._node = make_node(self.node, plane=self._plane, state=self._state, binaries=self._binaries)
                self._node.start(self._api)
        except BaseException as error:
            last_words = self._last_words()
            kept = self.down(keep_logs=True)
            if isinstance(error, Exception):
                raise ClusterError(f"{error}; all logs are in {kept}{last_words}") from error
            raise
        if self._stays:
            self._state = replace(self._state, owner=None)
            self._state.write()
        return self

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """End everything and remove the cluster's folder; return where the logs were kept, if they were."""
        if self._api is not None:
            self._api.close()
            self._api = None
        return end(self._state, keep_logs=keep_logs)

    def issue_client_certificate(self, common_name: str, organizations: Sequence[str] = ()) -> Path:
        """Issue a client certificate for a user and groups; return the path of a kubeconfig that uses it.

        `system:node:<name>` in the group `system:nodes` is what a kubelet of that name would have.
        """
        file_name = f"client-{time.time_ns()}"
        authority = self.plane.authority
        certificate, key = authority.issue_client(file_name, common_name=common_name, organizations=organizations)
        path = self.folder / f"{file_name}.kubeconfig"
        return authority.write_kubeconfig(path, server=self.url, certificate=certificate, key=key)

    def import_image(self, archive: Path) -> None:
        """Let the pods of the real node use the image of a docker archive."""
        if not isinstance(self._node, RealNode):
            raise ClusterError(f"images are for a real node, and the node of cluster {self.name} is {self.node}")
        self._node.import_image(archive)

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a component of the control plane that does not run, and wait until the API server serves."""
        process.start(
            self.plane.command(name),
            record=self.folder / "pids" / name,
            log=self.logs / f"{name}.log",
            environment=ENVIRONMENT,
        )
        if wait:
            self._wait_until_served()

    def stop(self, name: str, *, grace: float = 0.0) -> None:
        """End a component: at once, as a crash would, or by SIGTERM and up to `grace` seconds."""
        process.end(self._running(name), grace=grace)

    def restart(self, name: str) -> None:
        """End a component at once and start it again; its port, data and certificates stay."""
        self.stop(name)
        self.start(name)

    def pause(self, name: str) -> None:
        """Stop a component in its tracks (SIGSTOP): its connections stay open and nothing answers."""
        process.send(self._running(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused component go on."""
        process.send(self._running(name), signal.SIGCONT)

    def pid(self, name: str) -> int:
        """Return the pid of a running component."""
        return self._running(name).pid

    def _running(self, name: str) -> process.Record:
        record = self._state.processes.get(name)
        if record is None or not record.alive:
            raise ProcessLookupError(f"{name} of cluster {self.name} does not run")
        return record

    def _last_words(self) -> str:
        """Return the end of the log of each process that ended by itself."""
        ended = [name for name, record in self._state.processes.items() if not record.alive]
        tails = []
        for name in ended:
            lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
            tails.append("\n".join([f"\n{name} ended by itself; its last words:", *lines]))
        return "".join(tails)

    def _binary(self, name: str) -> Path:
        if name not in self._binaries:
            self._binaries |= binaries([name], kubernetes=self.kubernetes)
        return self._binaries[name]

    def _record(self) -> None:
        with locked(state.registry_lock()):
            if state.read(self.name) is not None:
                raise ClusterError(f"a cluster named {self.name} is there already: end it, or choose another name")
            taken = {port for other in state.every() for port in other.ports.values()}
            ports = dict(zip(PORTS, free_ports(len(PORTS), taken=taken), strict=True))
            address = self._state.address
            if self.node == "real":
                used = {other.address for other in state.every()}
                free = (ADDRESS_FOR_PODS.format(number) for number in range(64, 255))
                address = next(each for each in free if each not in used)
                ports["kube-apiserver"] = 443
            # Until it is up, it ends with this process in any case.
            self._state = replace(
                self._state, ports=ports, address=address, owner=state.own_process(), boot=state.boot_id()
            )
            self._state.write()

    def _wait_until_served(self) -> None:
        context = ssl.create_default_context(cafile=str(self.ca))

        def ready() -> bool:
            for name in ("etcd", "kube-apiserver"):
                self._running(name)
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5, context=context) as answer:  # noqa: S310
                    return bool(answer.status == 200)
            except (OSError, urllib.error.HTTPError):
                return False

        wait_for(ready, timeout=60, what="the API server to be ready", interval=0.1)

    def _wait_until_controlled(self) -> None:
        path = "/api/v1/namespaces/default/serviceaccounts/default"

        def made() -> bool:
            self._running("kube-controller-manager")
            return self.api.find(path) is not None

        what = "the controller manager to make the namespace default's ServiceAccount"
        wait_for(made, timeout=60, what=what, ignoring=(ApiError,))


def end(recorded: state.State, *, keep_logs: bool = False) -> Path | None:
    """End a cluster by its record, whoever started it; return where its logs were kept, if they were."""
    kept = state.keep_logs(recorded) if keep_logs and (recorded.folder / "logs").exists() else None
    if recorded.node != "none":
        clean_up(recorded)
    # Its data go with it, so there is nothing to flush: no process gets time to say goodbye.
    order = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
    found = recorded.processes
    for name in sorted(found, key=lambda each: order.index(each) if each in order else -1):
        process.end(found[name])
    state.remove(recorded)
    return kept


def end_stale() -> list[str]:
    """End all clusters whose owner is gone without having ended them; return their names."""
    ended = []
    for recorded in state.every():
        if recorded.stale:
            sys.stderr.write(f"ending cluster {recorded.name}, which a crashed run left behind\n")
            end(recorded)
            ended.append(recorded.name)
    return ended
