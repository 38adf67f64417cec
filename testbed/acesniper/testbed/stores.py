"""The stores, started as children of a testbed."""

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
"""Of PASSWORD, by bcrypt."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """versitygw over a folder: a bucket is a folder in it, an object a file."""

    folder: Path
    host: str
    port: int

    @classmethod
    def start(cls, children: Children, folder: Path, host: str = "127.0.0.1") -> "ObjectStore":
        """Start one that answers."""
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
        """The keys of a Secret that opens it."""
        return {"accessKeyId": USER, "secretAccessKey": PASSWORD, "endpoint": self.endpoint}


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry over a folder, with a password; `push` is what `oras push` does with one file."""

    host: str
    port: int

    @classmethod
    def start(cls, children: Children, folder: Path, host: str = "127.0.0.1") -> "Registry":
        """Start one that answers."""
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
        # Its own telemetry would look for a collector.
        environment = {"OTEL_TRACES_EXPORTER": "none"}
        children.spawn(
            f"registry-{port}", argv, environment, lambda: _listens(host, port)
        ).wait_ready()
        return cls(host, port)

    @property
    def address(self) -> str:
        """Its address as a model's source."""
        return f"oci+http://{self.host}:{self.port}"

    @property
    def secret(self) -> dict[str, str]:
        """The keys of a Secret that opens it."""
        return {"username": USER, "password": PASSWORD}

    def push(self, repository: str, content: bytes) -> str:
        """Push a file as a blob; returns its digest."""
        digest = hashlib.sha256(content).hexdigest()
        root = f"http://{self.host}:{self.port}/v2/{repository}/blobs"
        place = self._ask("POST", f"{root}/uploads/", b"")
        joint = "&" if "?" in place else "?"
        self._ask("PUT", f"{place}{joint}digest=sha256:{digest}", content)
        return digest

    def _ask(self, method: str, url: str, body: bytes) -> str:
        basic = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=30.0) as answer:  # noqa: S310 - our own
            return str(answer.headers.get("Location", ""))


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False
