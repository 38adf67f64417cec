"""Credentials of one testbed: certificate authority, certificates, kubeconfigs, signing key."""

import base64
import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=7)
_SKEW = datetime.timedelta(minutes=5)
_DNS_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A self-signed CA that issues certificates into `folder`, with P-256 keys (RSA is slow)."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = (
            _certificate(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(self._identifier, critical=False)
        )
        self.ca = _write(folder, name, builder.sign(self._key, hashes.SHA256()), self._key)

    def serving(self, name: str) -> Certificate:
        """A certificate for servers on 127.0.0.1, also valid for clients (etcd requires that)."""
        addresses = [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", "10.96.0.1")]
        names = [x509.DNSName(name) for name in _DNS_NAMES]
        return self._issue(name, name, (), x509.SubjectAlternativeName([*names, *addresses]))

    def client(self, name: str, user: str, groups: Sequence[str] = ()) -> Certificate:
        """A client certificate that authenticates as `user` in `groups`."""
        return self._issue(name, user, groups, None)

    def _issue(
        self,
        name: str,
        user: str,
        groups: Sequence[str],
        alternatives: x509.SubjectAlternativeName | None,
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _certificate(subject, self._name, key.public_key()).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier),
            critical=False,
        )
        if alternatives is not None:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return _write(self._folder, name, builder.sign(self._key, hashes.SHA256()), key)


def write_signing_key(folder: Path) -> Certificate:
    """Write the key pair that signs service account tokens; `cert` is the bare public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = folder / "service-accounts.pub"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return Certificate(public, _write_key(folder / "service-accounts.key", key))


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _write(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Certificate:
    cert = folder / f"{name}.crt"
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Certificate(cert, _write_key(folder / f"{name}.key", key))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "admin": ("system:masters",),
        "system:kube-controller-manager": (),
        "system:kube-scheduler": (),
        "acesniper-operator": (),
        "acesniper-scheduler": (),
        "acesniper-extender": (),
        "kwok": (),
    }
)
"""Groups of the known identities; any other identity has none."""


def file_name(identity: str) -> str:
    """The name of an identity's files, without the colons that users may have and paths may not."""
    return identity.replace(":", "-")


def write_kubeconfig(path: Path, *, port: int, ca: Path, user: str, client: Certificate) -> Path:
    """Write a kubeconfig with embedded certificates, readable by its owner only."""
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": _base64(ca),
    }
    credentials = {
        "client-certificate-data": _base64(client.cert),
        "client-key-data": _base64(client.key),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
        "current-context": "testbed",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
