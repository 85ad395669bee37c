"""The cluster's certificate authority, and what it signs: serving certificates, client certificates, a signing key.

Called by the cluster. Keys are elliptic-curve keys, made in about a millisecond; they never leave the cluster's
folder, which only its owner can read.
"""

import base64
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=30)


class Authority:
    """A certificate authority whose key and certificate lie in a folder; made at its first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate_path = folder / "ca.crt"
        self.key_path = folder / "ca.key"
        if not self.certificate_path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = new_key(self.key_path)
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tasksession-test-ca")])
            builder = _builder(name, key.public_key()).issuer_name(name)
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
            _write(self.certificate_path, builder.sign(key, hashes.SHA256()))
        self._certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        signing = serialization.load_pem_private_key(self.key_path.read_bytes(), password=None)
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        self._key = signing

    def issue_server(self, name: str, *, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Issue a serving certificate for DNS names and addresses; return the paths of certificate and key."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._issue(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(names))

    def issue_client(self, file_name: str, *, common_name: str, organizations: Sequence[str]) -> tuple[Path, Path]:
        """Issue a client certificate: the user is its common name, the groups are its organizations."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        return self._issue(file_name, x509.Name(attributes), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def write_kubeconfig(self, path: Path, *, server: str, certificate: Path, key: Path) -> Path:
        """Write a kubeconfig with everything inside it, so that it works from any folder and can be copied."""
        write_kubeconfig(
            path,
            server=server,
            authority=self.certificate_path.read_bytes(),
            user={
                "client-certificate-data": base64.b64encode(certificate.read_bytes()).decode(),
                "client-key-data": base64.b64encode(key.read_bytes()).decode(),
            },
        )
        return path

    def _issue(
        self, file_name: str, subject: x509.Name, usage: x509.ObjectIdentifier, extra: x509.ExtensionType | None
    ) -> tuple[Path, Path]:
        certificate_path, key_path = self._folder / f"{file_name}.crt", self._folder / f"{file_name}.key"
        key = new_key(key_path)
        builder = _builder(subject, key.public_key()).issuer_name(self._certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if extra is not None:
            builder = builder.add_extension(extra, critical=False)
        _write(certificate_path, builder.sign(self._key, hashes.SHA256()))
        return certificate_path, key_path


def new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a private key and write it to `path`, readable by its owner only."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return key


def write_kubeconfig(path: Path, *, server: str, authority: bytes, user: dict[str, str]) -> None:
    """Write a kubeconfig with one cluster and one user, readable by its owner only."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def _builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    # An hour in the past: a clock that steps back a little must not make the cluster's own certificates invalid.
    return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + _LIFETIME)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
