"""Credentials of a store: the keys of a Secret that is mounted as a folder."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acesniper.domain.errors import InvalidInput

KEYS = (
    "username",
    "password",
    "token",
    "accessKeyId",
    "secretAccessKey",
    "sessionToken",
    "endpoint",
    "region",
    "ca.crt",
    "tokenHost",
    ".dockerconfigjson",
)
"""Including those of `kubernetes.io/basic-auth` and `kubernetes.io/dockerconfigjson`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Values by key; they are not part of the repr, so that the object may be logged."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: Path | None) -> "Credentials":
        """Read the keys of a mounted Secret; without a folder, no credentials.

        Raises:
            InvalidInput: the folder has none of the keys, or a value is not text.
        """
        if folder is None:
            return NO_CREDENTIALS
        values = {key: _text(folder / key) for key in KEYS if (folder / key).is_file()}
        if not values:
            raise InvalidInput(f"the Secret in {folder} has none of the keys {', '.join(KEYS)}")
        return cls(values)

    def get(self, key: str) -> str:
        """The value of a key; empty if it is missing."""
        return self.values.get(key, "")

    def authorization(self, host: str = "") -> str:
        """The value of an Authorization header; empty without credentials for the host."""
        if token := self.get("token"):
            return f"Bearer {token}"
        if basic := self.basic(host):
            return f"Basic {basic}"
        return ""

    def basic(self, host: str = "") -> str:
        """Encoded user and password, also from a Docker configuration for the host."""
        if user := self.get("username"):
            return base64.b64encode(f"{user}:{self.get('password')}".encode()).decode()
        if config := self.get(".dockerconfigjson"):
            return _docker_auth(config, host)
        return ""


NO_CREDENTIALS = Credentials()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except UnicodeDecodeError:
        raise InvalidInput(f"the Secret's key {path.name} is not text") from None


def _docker_auth(config: str, host: str) -> str:
    try:
        parsed = json.loads(config)
    except (ValueError, RecursionError) as error:
        # Without the content, which may hold a password.
        raise InvalidInput("the Secret's .dockerconfigjson is not JSON") from error
    servers = parsed.get("auths") if isinstance(parsed, dict) else None
    if not isinstance(servers, dict):
        raise InvalidInput("the Secret's .dockerconfigjson has no object `auths`")
    for server, entry in servers.items():
        if server.removeprefix("https://").partition("/")[0] == host and isinstance(entry, dict):
            if "auth" in entry:
                return str(entry["auth"])
            pair = f"{entry.get('username', '')}:{entry.get('password', '')}"
            return base64.b64encode(pair.encode()).decode()
    return ""
