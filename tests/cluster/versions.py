"""Which versions of Kubernetes, helm and kwok the tests run, read from the Go modules beside this file.

`go/<module>-<version>/go.mod` is the only place that states a version: a new Kubernetes is a new folder.
Called by the builder and by the command line.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

GO_MODULES = Path(__file__).parent / "go"

KUBERNETES = "kubernetes"
HELM = "helm"
KWOK = "kwok"

_PACKAGES = {
    "etcd": (KUBERNETES, "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": (KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": (KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kube-scheduler": (KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubectl": (KUBERNETES, "k8s.io/kubernetes/cmd/kubectl"),
    "kubelet": (KUBERNETES, "k8s.io/kubernetes/cmd/kubelet"),
    "helm": (HELM, "helm.sh/helm/v4/cmd/helm"),
    "kwok": (KWOK, "sigs.k8s.io/kwok/cmd/kwok"),
}


class UnknownVersionError(Exception):
    """A version was asked for that no folder of `go/` describes."""


@dataclass(frozen=True)
class Component:
    """One binary: its name, the Go package it is built from, and the folder of the module that pins it."""

    name: str
    package: str
    module: Path
    version: str

    @property
    def linker_flags(self) -> str:
        """Return the linker's flags: without the version, a Kubernetes binary says v0.0.0 and refuses its peers."""
        flags = "-s -w"
        if self.package.startswith("k8s.io/kubernetes/") or self.package.startswith("go.etcd.io/"):
            major, minor, _ = self.version.split(".")
            prefix = "-X k8s.io/component-base/version."
            flags += f" {prefix}gitVersion=v{self.version} {prefix}gitMajor={major} {prefix}gitMinor={minor}"
        return flags

    @property
    def key(self) -> str:
        """Return the cache key: a change of version, of any dependency or of the flags is another binary."""
        content = hashlib.sha256(self.linker_flags.encode())
        for name in ("go.mod", "go.sum"):
            content.update((self.module / name).read_bytes())
        return f"{self.module.name}-{content.hexdigest()[:12]}"


def available(module: str) -> list[str]:
    """Return the versions of a module that can be built, oldest first."""
    found = [folder.name.removeprefix(f"{module}-") for folder in GO_MODULES.glob(f"{module}-*/")]
    return sorted(found, key=lambda version: tuple(int(part) for part in version.split(".")))


def newest(module: str) -> str:
    """Return the newest version of a module: the default."""
    return available(module)[-1]


def component(name: str, *, kubernetes: str) -> Component:
    """Return the component `name`; `kubernetes` chooses the version of what belongs to Kubernetes.

    Raises `UnknownVersionError` with the versions that can be had.
    """
    module, package = _PACKAGES[name]
    version = kubernetes if module == KUBERNETES else newest(module)
    if version not in available(module):
        raise UnknownVersionError(
            f"Kubernetes {version} is not available here; these are: {', '.join(available(module))}. "
            f"Another one is a folder {GO_MODULES.name}/{module}-{version} with a go.mod and a go.sum."
        )
    return Component(name=name, package=package, module=GO_MODULES / f"{module}-{version}", version=version)


def required_go(module: Path) -> tuple[int, ...]:
    """Return the Go version that a module's go.mod asks for."""
    for line in (module / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return tuple(int(part) for part in line.split()[1].split("."))
    raise ValueError(f"{module / 'go.mod'} has no line with its Go version")
