"""Who talks to the API server, and the kubeconfig file each of them uses."""

import base64
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

from acesniper.testbed.credentials import Certificate

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
"""The identities a testbed prepares, with their groups; any other name gets no groups at all."""


def file_name(identity: str) -> str:
    """The name of an identity's files: a colon is legal in users, not everywhere in paths."""
    return identity.replace(":", "-")


def write_kubeconfig(path: Path, *, port: int, ca: Path, user: str, client: Certificate) -> Path:
    """Write a self-contained kubeconfig (certificates embedded), readable by its owner only."""
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
