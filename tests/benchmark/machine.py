"""The machine that the figures are of, in words."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def described(kubernetes: str) -> dict[str, str]:
    """Describe this machine: processor, memory, load, and the versions that matter."""
    return {
        "processor": f"{os.cpu_count()} cores of {_field('/proc/cpuinfo', 'model name') or platform.machine()}",
        "memory": f"{int((_field('/proc/meminfo', 'MemTotal') or '0').split()[0]) / (1 << 20):.0f} GiB",
        "load before": " ".join(f"{each:.1f}" for each in os.getloadavg()),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "Kubernetes": kubernetes,
        "kopf": version("kopf"),
        "kubernetes client": version("kubernetes"),
        "aiohttp": version("aiohttp"),
    }


def memory_of(pid: int) -> float:
    """The resident memory of a process in MB (10^6 bytes)."""
    kibibytes = int((_field(f"/proc/{pid}/status", "VmRSS") or "0").split()[0])
    return kibibytes * 1024 / 1e6


def processor_of(pid: int) -> float:
    """The processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _field(path: str, name: str) -> str | None:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
