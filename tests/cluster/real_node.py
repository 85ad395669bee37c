"""A real node: a kubelet and a containerd of the cluster's own, with their own folders and sockets; needs root.

Called by `node`. It never touches the machine's own containerd, and ends only containers of its own.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.cluster import process
from tests.cluster.api import Api, ApiError
from tests.cluster.control_plane import ControlPlane
from tests.cluster.image import SANDBOX_IMAGE, TASK_IMAGE, write_sandbox_image, write_task_image
from tests.cluster.state import State
from tests.cluster.waiting import wait_for

#: A node is named by its address, so that the API server reaches the kubelet there for logs and exec.
NODE_NAME = "127.0.0.1"

_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "mount": "mount",
}
_PLUGIN_FOLDERS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

# Without kube-proxy only the host's network leads to the API server, so every pod gets that, unless it has ports.
_HOST_NETWORK = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: test-node-host-network}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
    - {name: has-no-ports, expression: "!object.spec.containers.exists(c, has(c.ports) && c.ports.size() > 0)"}
  mutations:
    - patchType: JSONPatch
      jsonPatch: {expression: '[JSONPatch{op: "add", path: "/spec/hostNetwork", value: true}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: test-node-host-network}
spec: {policyName: test-node-host-network}
"""


def find(program: str) -> str | None:
    """Return the path of a program, looked for where root's programs are as well."""
    return shutil.which(program, path=_SEARCH)


def plugins_folder() -> Path | None:
    """Return the folder of the CNI plugins, or None."""
    return next((folder for folder in _PLUGIN_FOLDERS if (folder / "ptp").exists()), None)


def missing_packages() -> list[str]:
    """Return the Debian packages of what a real node needs and this machine lacks."""
    needed = {package for program, package in _PROGRAMS.items() if find(program) is None}
    if plugins_folder() is None:
        needed.add("containernetworking-plugins")
    busybox = find("busybox")
    # A dynamically linked one would find no libraries in the image.
    if busybox and b"ld-linux" in Path(busybox).read_bytes()[:4096]:
        needed.add("busybox-static")
    return sorted(needed)


def why_not() -> str | None:
    """Return, in one sentence, what keeps this machine from running a real node; None if nothing does."""
    if os.geteuid() != 0:
        return "a real node needs root"
    if missing := missing_packages():
        return f"a real node needs {', '.join(missing)}: `make node-tools` installs them on Debian and Ubuntu"
    return None


class RealNode:
    """A kubelet, and the containerd that runs its pods."""

    name = NODE_NAME

    def __init__(self, *, plane: ControlPlane, state: State, binaries: Mapping[str, Path]) -> None:
        self._plane = plane
        self._state = state
        self._binaries = binaries
        self._folder = state.folder / "node"
        self._socket = self._folder / "containerd.sock"

    def start(self, api: Api) -> None:
        """Start containerd and kubelet, import the images, and wait until the node is Ready."""
        if len(str(self._socket)) > 100:
            raise ValueError(
                f"the path {self._socket} is too long for a socket: set TASKSESSION_CACHE to a shorter one"
            )
        self._folder.mkdir()
        api.apply(_HOST_NETWORK)
        self._start_containerd()
        self._import_images()
        self._start_kubelet()
        wait_for(lambda: self._ready(api), timeout=90, what="the node to be Ready", interval=0.2, ignoring=(ApiError,))

    def _start_containerd(self) -> None:
        (self._folder / "cni").mkdir()
        (self._folder / "cni" / "10-test.conflist").write_text(json.dumps(_network(self._folder)))
        configuration = self._folder / "containerd.toml"
        configuration.write_text(self._containerd_configuration())
        self._start("containerd", [str(find("containerd")), "--config", str(configuration)])

    def _import_images(self) -> None:
        busybox = Path(str(find("busybox")))
        write_task_image(self._folder / "task.tar", busybox=busybox, kubectl=self._binaries["kubectl"])
        write_sandbox_image(self._folder / "sandbox.tar", busybox=busybox)
        wait_for(lambda: self._ctr("version").returncode == 0, timeout=30, what="containerd to answer")
        for name in ("task", "sandbox"):
            self.import_image(self._folder / f"{name}.tar")

    def import_image(self, archive: Path) -> None:
        """Let pods use the image of a docker archive, under the name in it."""
        done = self._ctr("images", "import", "--snapshotter", self._snapshotter(), str(archive))
        if done.returncode != 0:
            raise RuntimeError(f"containerd refused the image {archive.name}: {done.stderr.strip()}")

    def _start_kubelet(self) -> None:
        authority = self._plane.authority
        certificate, key = authority.issue_client(
            "kubelet", common_name=f"system:node:{self.name}", organizations=["system:nodes"]
        )
        kubeconfig = self._folder / "kubelet.kubeconfig"
        authority.write_kubeconfig(kubeconfig, server=self._plane.url, certificate=certificate, key=key)
        serving = authority.issue_server("kubelet-server", hosts=[NODE_NAME, "localhost"])
        configuration = self._folder / "kubelet.yaml"
        configuration.write_text(yaml.safe_dump(self._kubelet_configuration(*serving), sort_keys=False))
        command = [
            str(self._binaries["kubelet"]),
            f"--config={configuration}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--cert-dir={self._folder / 'kubelet-pki'}",
            f"--hostname-override={self.name}",
        ]
        self._start("kubelet", command)

    def _start(self, name: str, command: list[str]) -> None:
        process.start(
            command,
            record=self._state.folder / "pids" / name,
            log=self._state.folder / "logs" / f"{name}.log",
            environment={"PATH": _SEARCH},
        )

    def _ready(self, api: Api) -> bool:
        for name in ("containerd", "kubelet"):
            record = self._state.processes.get(name)
            if record is None or not record.alive:
                raise ProcessLookupError(f"{name} ended")
        node = api.find(f"/api/v1/nodes/{self.name}")
        conditions = node["status"].get("conditions", []) if node else []
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        # The taint that new nodes bear goes a moment after the node turns Ready.
        return ready and node is not None and not node["spec"].get("taints")

    def _ctr(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(find("ctr")), "--address", str(self._socket), "--namespace", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def _snapshotter(self) -> str:
        """Return overlayfs where the folder's filesystem can carry it (an overlay cannot), else plain copies."""
        probe = self._folder / "overlay"
        for part in ("lower", "upper", "work", "merged"):
            (probe / part).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={probe / 'lower'},upperdir={probe / 'upper'},workdir={probe / 'work'}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(probe / "merged")]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return "native"
        subprocess.run(["umount", str(probe / "merged")], capture_output=True, check=True)
        return "overlayfs"

    def _containerd_configuration(self) -> str:
        return f"""version = 2
root = "{self._folder / "containerd"}"
state = "{self._folder / "run"}"

[grpc]
address = "{self._socket}"

[ttrpc]
address = "{self._socket}.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
path = "{self._folder / "opt"}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX_IMAGE}"
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{self._snapshotter()}"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins_folder()}"
conf_dir = "{self._folder / "cni"}"
"""

    def _kubelet_configuration(self, certificate: Path, key: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": self._state.ports["kubelet"],
            "healthzBindAddress": "127.0.0.1",
            "healthzPort": self._state.ports["kubelet-health"],
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._plane.authority.certificate_path)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "podLogsDir": str(self._folder / "pod-logs"),
            # What a container or a virtual machine without systemd and with either version of cgroups can offer.
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "evictionHard": {"memory.available": "20Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            # Images cannot be fetched again.
            "imageGCHighThresholdPercent": 100,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            "maxPods": 200,
            "resolvConf": "",
        }


def _network(folder: Path) -> dict[str, object]:
    plugin = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "addresses"),
            "ranges": [[{"subnet": "10.88.0.0/16"}]],
        },
    }
    return {"cniVersion": "0.4.0", "name": "test", "plugins": [plugin]}


__all__ = ["NODE_NAME", "TASK_IMAGE", "RealNode", "missing_packages", "plugins_folder", "why_not"]
