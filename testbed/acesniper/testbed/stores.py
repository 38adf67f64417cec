"""Model stores of a testbed: an S3-compatible object store and an OCI registry."""

import contextlib
import hashlib
import socket
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import yaml

from acesniper.testbed.processes import Children, free_port
from acesniper.testbed.programs import ensure_stores

USER, PASSWORD = "edge", "let-me-in"
_HASH = "$2b$04$nJib731gEsw4u2YBvQZlwO82P51E/dlSxREkw7StJ9gBf7SLYhdHC"
"""bcrypt hash of PASSWORD."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """versitygw on a folder: a bucket is a folder in it, an object is a file."""

    folder: Path
    host: str
    port: int

    @classmethod
    def start(cls, children: Children, folder: Path, host: str = "127.0.0.1") -> "ObjectStore":
        """Start one, and wait until it accepts connections."""
        port = free_port()
        store = cls(folder, host, port)
        argv: list[str | Path] = [
            ensure_stores() / "versitygw",
            "--port",
            f"{host}:{port}",
            "posix",
            folder,
        ]
        environment = {"ROOT_ACCESS_KEY_ID": USER, "ROOT_SECRET_ACCESS_KEY": PASSWORD}
        children.spawn(
            f"versitygw-{port}", argv, environment, lambda: _listens(host, port)
        ).wait_ready()
        return store

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{self.host}:{self.port}"

    @property
    def secret(self) -> dict[str, str]:
        """Content of a Secret with its credentials."""
        return {"accessKeyId": USER, "secretAccessKey": PASSWORD, "endpoint": self.endpoint}


@dataclass(frozen=True, slots=True)
class Registry:
    """The CNCF's registry on a folder, with a password; `push` does what `oras push` does."""

    host: str
    port: int

    @classmethod
    def start(cls, children: Children, folder: Path, host: str = "127.0.0.1") -> "Registry":
        """Start one, and wait until it accepts connections."""
        port = free_port()
        passwords = folder / "passwords"
        passwords.write_text(f"{USER}:{_HASH}\n")
        config = folder / "registry.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "version": 0.1,
                    "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                    "http": {"addr": f"{host}:{port}"},
                    "auth": {"htpasswd": {"realm": "edge", "path": str(passwords)}},
                }
            )
        )
        argv: list[str | Path] = [ensure_stores() / "registry", "serve", config]
        # By default, it looks for a telemetry collector.
        environment = {"OTEL_TRACES_EXPORTER": "none"}
        children.spawn(
            f"registry-{port}", argv, environment, lambda: _listens(host, port)
        ).wait_ready()
        return cls(host, port)

    @property
    def address(self) -> str:
        """Its address, for the source of a model."""
        return f"oci+http://{self.host}:{self.port}"

    @property
    def secret(self) -> dict[str, str]:
        """Content of a Secret with its credentials."""
        return {"username": USER, "password": PASSWORD}

    def push(self, repository: str, content: bytes) -> str:
        """Push a file as a blob and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        root = f"http://{self.host}:{self.port}/v2/{repository}/blobs"
        location = self._request("POST", f"{root}/uploads/", b"")
        separator = "&" if "?" in location else "?"
        self._request("PUT", f"{location}{separator}digest=sha256:{digest}", content)
        return digest

    def _request(self, method: str, url: str, body: bytes) -> str:
        basic = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310 - http only
        with urllib.request.urlopen(request, timeout=30.0) as answer:  # noqa: S310 - http only
            return str(answer.headers.get("Location", ""))


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False
