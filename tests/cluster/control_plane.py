"""How etcd and Kubernetes' own processes are called: their flags and files, nothing else.

Called by the cluster. Everything listens on 127.0.0.1. Rate limits and worker counts are raised where the defaults
would be what a test measures.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.cluster.certificates import Authority, new_key

PORTS = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubelet-health",
)
ISSUER = "https://kubernetes.default.svc"

_HOSTS = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "10.0.0.1",
)

#: The address of the API server where pods are to reach it, the same as that of its service; `{}` is the cluster's.
ADDRESS_FOR_PODS = "127.{}.0.1"
_LOOPBACK = "127.0.0.1"

#: Of every process. With Go's usual 100, collecting what is no longer used takes a sixth of the API server's time on a
#: heap as small as these; memory is not what is short here.
ENVIRONMENT = {"GOGC": "400"}

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # One line for each request, a watch's at its end.
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "omitManagedFields": True,
    "rules": [{"level": "Metadata"}],
}

_CLIENTS = {
    "admin": ("kubernetes-admin", ["system:masters"]),
    "kube-controller-manager": ("system:kube-controller-manager", []),
    "kube-scheduler": ("system:kube-scheduler", []),
}


class ControlPlane:
    """The files and commands of one cluster's control plane.

    The API server's address is 127.0.0.1, or else also that of the service `kubernetes`: without kube-proxy a pod in
    the host's network finds it there, since all of 127.0.0.0/8 is this machine.
    """

    def __init__(self, *, folder: Path, address: str, ports: Mapping[str, int], binaries: Mapping[str, Path]) -> None:
        self._folder = folder
        self._address = address
        self._ports = ports
        self._binaries = binaries
        self.url = f"https://{address}:{ports['kube-apiserver']}"
        self.audit_log = folder / "logs" / "audit.log"
        self.authority = Authority(folder / "pki")

    def prepare(self) -> None:
        """Write certificates, keys, kubeconfigs and configuration files."""
        pki = self._folder / "pki"
        (self._folder / "logs").mkdir(exist_ok=True)
        self.authority.issue_server("server", hosts=[*_HOSTS, self._address])
        new_key(pki / "service-accounts.key")
        self.authority.issue_client("to-kubelet", common_name="kube-apiserver", organizations=["system:masters"])
        for name, (user, groups) in _CLIENTS.items():
            certificate, key = self.authority.issue_client(name, common_name=user, organizations=groups)
            self.authority.write_kubeconfig(self.kubeconfig(name), server=self.url, certificate=certificate, key=key)
        self._file("audit-policy.yaml").write_text(yaml.safe_dump(_AUDIT_POLICY))
        self._file("etcd.yaml").write_text(yaml.safe_dump(self._etcd_configuration()))

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of a component, or the administrator's."""
        return self._file("kubeconfig" if name == "admin" else f"{name}.kubeconfig")

    def command(self, name: str) -> list[str]:
        """Return the command line of a component."""
        flags = {
            "etcd": self._etcd,
            "kube-apiserver": self._api_server,
            "kube-controller-manager": self._controller_manager,
            "kube-scheduler": self._scheduler,
        }[name]()
        return [str(self._binaries[name]), *flags]

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _etcd_configuration(self) -> dict[str, object]:
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "etcd-peer"))
        return {
            "name": "test",
            "data-dir": str(self._folder / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"test={peer}",
            # The data go with the cluster: waiting for the disk would only slow the tests down.
            "unsafe-no-fsync": True,
            "log-level": "warn",
            "quota-backend-bytes": 4 << 30,
        }

    def _etcd(self) -> list[str]:
        return ["--config-file", str(self._file("etcd.yaml"))]

    def _api_server(self) -> list[str]:
        pki = self._folder / "pki"
        service_range = "10.0.0.0/24" if self._address == _LOOPBACK else self._address.removesuffix(".1") + ".0/24"
        return [
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self._ports['kube-apiserver']}",
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            f"--client-ca-file={self.authority.certificate_path}",
            f"--tls-cert-file={pki / 'server.crt'}",
            f"--tls-private-key-file={pki / 'server.key'}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={pki / 'service-accounts.key'}",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            f"--service-cluster-ip-range={service_range}",
            f"--kubelet-client-certificate={pki / 'to-kubelet.crt'}",
            f"--kubelet-client-key={pki / 'to-kubelet.key'}",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # No endpoint of the service `kubernetes`: it must be another address than loopback.
            "--endpoint-reconciler-type=none",
            f"--audit-policy-file={self._file('audit-policy.yaml')}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=0",
            "--audit-log-mode=blocking-strict",
            "--profiling=false",
        ]

    def _controller_manager(self) -> list[str]:
        pki = self._folder / "pki"
        return [
            *self._as_client("kube-controller-manager"),
            f"--service-account-private-key-file={pki / 'service-accounts.key'}",
            f"--root-ca-file={self.authority.certificate_path}",
            f"--cluster-signing-cert-file={self.authority.certificate_path}",
            f"--cluster-signing-key-file={self.authority.key_path}",
            "--use-service-account-credentials=true",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        ]

    def _scheduler(self) -> list[str]:
        return [*self._as_client("kube-scheduler"), "--kube-api-qps=1000", "--kube-api-burst=2000"]

    def _as_client(self, name: str) -> list[str]:
        pki = self._folder / "pki"
        return [
            f"--kubeconfig={self.kubeconfig(name)}",
            "--authentication-skip-lookup=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._ports[name]}",
            f"--tls-cert-file={pki / 'server.crt'}",
            f"--tls-private-key-file={pki / 'server.key'}",
        ]
