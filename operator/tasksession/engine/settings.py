"""What the operator can be told at start: one frozen value, validated by the command line.

Every field has a flag and an environment variable; see `tasksession-operator run --help`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds. `namespaces` empty means all; `lease_namespace` None means that no Lease is used."""

    kubeconfig: Path | None = None
    namespaces: tuple[str, ...] = ()
    excluded_namespaces: tuple[str, ...] = ("kube-*",)
    workers: int = 128
    sweep_interval: float = 300.0
    request_timeout: float = 10.0
    probe_host: str = "127.0.0.1"
    probe_port: int = 8080
    lease_namespace: str | None = None
    lease_name: str = "tasksession-operator"
    identity: str = ""
    lease_duration: float = 15.0
    lease_renew_deadline: float = 10.0
    lease_retry: float = 2.0
    drain_timeout: float = 20.0
