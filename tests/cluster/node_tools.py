"""Installs what a real node needs, on Debian and Ubuntu as root: `make node-tools`.

Called by the command line. It installs packages for missing programs only, so that a containerd from elsewhere is
left alone, and it does not leave a service running that it has brought.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.cache import node_tools_marker
from tests.cluster.real_node import find, missing_packages, why_not


def install() -> int:
    """Install what is missing and leave the marker; where that cannot be done, say so and leave no marker."""
    if os.geteuid() != 0:
        return _without("this user is not root")
    # buildah makes the operator's image, whose Deployment runs on the node.
    missing = [*missing_packages(), *(["buildah"] if find("buildah") is None else [])]
    if missing and find("apt-get") is None:
        return _without(f"there is no apt-get here to install {', '.join(missing)} with")
    if missing:
        brought_containerd = "containerd" in missing
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-q", "-y", "--no-install-recommends"]
        for command in ([*apt, "update"], [*apt, "install", *missing]):
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
            if done.returncode != 0:
                sys.stderr.write(f"error: {' '.join(command)} failed: see its output above\n")
                return 1
        # The tests run a containerd of their own; the distribution's need not run.
        if brought_containerd and Path("/run/systemd/system").exists():
            subprocess.run(["systemctl", "disable", "--now", "containerd.service"], check=False)
    if reason := why_not():
        sys.stderr.write(f"error: {reason}\n")
        return 1
    node_tools_marker().parent.mkdir(parents=True, exist_ok=True)
    node_tools_marker().write_text("A real node can run here: tests that need one fail, and are not skipped.\n")
    sys.stderr.write("a real node can run here; tests that need one will fail, not skip, when it does not\n")
    return 0


def _without(reason: str) -> int:
    sys.stderr.write(f"no real node: {reason}; tests that need one are skipped, and the demo's pods are simulated\n")
    return 0
