"""A person with a certificate and kubectl: what a user of the cluster types, and what they get to read.

Called by tests of what users see. Unlike impersonation, it needs no right of the administrator's in between.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster


class CommandFailed(Exception):
    """kubectl ended with an error; the message is what it printed."""


class Person:
    """Somebody whom the API server knows by a certificate."""

    def __init__(self, cluster: Cluster, name: str, *, groups: Sequence[str] = ()) -> None:
        self.name = name
        self._kubectl = cluster.kubectl
        self._kubeconfig: Path = cluster.issue_client_certificate(name, list(groups))
        self.api = Api.from_kubeconfig(self._kubeconfig)

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """Run kubectl and return what it printed. Raises CommandFailed."""
        command = [str(self._kubectl), "--kubeconfig", str(self._kubeconfig), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise CommandFailed(done.stderr.strip())
        return done.stdout

    def refused(self, *arguments: str, given: str = "") -> str:
        """Run kubectl, which has to end with an error, and return the error."""
        try:
            printed = self.kubectl(*arguments, given=given)
        except CommandFailed as error:
            return str(error)
        raise AssertionError(f"kubectl {' '.join(arguments)} was not refused: {printed}")
