"""A cluster of yours under the same interface: `TASKSESSION_TEST_CONTEXT` names a context of your kubeconfig.

Called by the fixtures and the demo. It never takes the current context: a cluster is used only when it is named.
What it cannot do for a cluster that it did not start (reading the audit log, stopping the API server) it says.
"""

import base64
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from tests.cluster.api import Api, Object
from tests.cluster.certificates import new_key, write_kubeconfig
from tests.cluster.cluster import Cluster, ClusterError
from tests.cluster.waiting import wait_for

VARIABLE = "TASKSESSION_TEST_CONTEXT"
_NODE_USER = re.compile("^system:node:")


def chosen_context() -> str | None:
    """Return the context that the environment names, or None."""
    return os.environ.get(VARIABLE) or None


class ExistingCluster(Cluster):
    """A cluster that runs already and goes on running; only what tests create in it is theirs."""

    def __init__(self, context: str) -> None:
        super().__init__(f"context-{os.getpid()}")
        self._context = context
        self.node = "existing"

    def __enter__(self) -> "ExistingCluster":
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def kubeconfig(self) -> Path:
        """Return a kubeconfig with that context only."""
        return self.folder / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """Return the machine's kubectl, else one that is built."""
        own = shutil.which("kubectl")
        return Path(own) if own else super().kubectl

    @property
    def url(self) -> str:
        """Return the API server's address."""
        return self.api.url

    @property
    def ca(self) -> Path:
        """Return the certificate authority's file."""
        return self.api.authority

    @property
    def audit_log(self) -> Path:
        """Refuse: the log of an API server that runs elsewhere cannot be read."""
        raise ClusterError(f"the audit log of {self._context} cannot be read from here: unset {VARIABLE} for this test")

    def up(self) -> "ExistingCluster":
        """Connect; raises `ClusterError` when there is no such context or it cannot be used."""
        self.folder = Path(tempfile.mkdtemp(prefix="tasksession-context-"))
        command = [str(self.kubectl), "config", "view", "--raw", "--minify", "--flatten", "--context", self._context]
        shown = subprocess.run([*command, "--output", "yaml"], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            raise ClusterError(f"there is no context {self._context}: {shown.stderr.strip()}")
        # `view` keeps the name of the current context, which is another one.
        config = {**yaml.safe_load(shown.stdout), "current-context": self._context}
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump(config))
        self._api = Api.from_kubeconfig(self.kubeconfig)
        self.kubernetes = self._api.get("/version")["gitVersion"].removeprefix("v")
        return self

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """Disconnect and remove the copy of the kubeconfig; the cluster goes on."""
        if self._api is not None:
            self._api.close()
            self._api = None
        shutil.rmtree(self.folder, ignore_errors=True)
        return None

    def start(self, name: str, *, wait: bool = True) -> None:
        """Refuse: its components are not this process's to start."""
        raise ClusterError(f"{name} of {self._context} cannot be started from here: unset {VARIABLE} for this test")

    def stop(self, name: str, *, grace: float = 0.0) -> None:
        """Refuse: its components are not this process's to stop."""
        raise ClusterError(f"{name} of {self._context} cannot be stopped from here: unset {VARIABLE} for this test")

    def issue_client_certificate(self, common_name: str, organizations: Sequence[str] = ()) -> Path:
        """Have the cluster sign a client certificate for an hour; return the path of a kubeconfig that uses it."""
        name = f"tasksession-test-{time.time_ns()}"
        key_path = self.folder / f"{name}.key"
        key = new_key(key_path)
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        certificate = self._signed(name, asked.public_bytes(serialization.Encoding.PEM), common_name)
        path = self.folder / f"{name}.kubeconfig"
        user = {
            "client-certificate-data": certificate,
            "client-key-data": base64.b64encode(key_path.read_bytes()).decode(),
        }
        write_kubeconfig(path, server=self.url, authority=self.ca.read_bytes(), user=user)
        return path

    def _signed(self, name: str, request: bytes, user: str) -> str:
        path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
        signer = "kube-apiserver-client-kubelet" if _NODE_USER.match(user) else "kube-apiserver-client"
        body: Object = {
            "metadata": {"name": name},
            "spec": {
                "request": base64.b64encode(request).decode(),
                "signerName": f"kubernetes.io/{signer}",
                "expirationSeconds": 3600,
                "usages": ["digital signature", "client auth"],
            },
        }
        self.api.create(path, body)
        approved = {"type": "Approved", "status": "True", "reason": "Test", "message": "approved by a test"}
        self.api.patch(f"{path}/{name}/approval", {"status": {"conditions": [approved]}})
        try:
            what = f"{signer} to sign the certificate of {user}"
            certificate: str = wait_for(
                lambda: self.api.get(f"{path}/{name}")["status"].get("certificate"), timeout=30, what=what
            )
        finally:
            self.api.delete(f"{path}/{name}")
        return certificate
