"""A file that was pushed to an OCI registry as an artifact, as `oras push REPOSITORY FILE` does.

Such a file is a layer of its own, whose digest is that of the file. So there is nothing to look up:
the digest that the task gives names the blob. A tag may move, the digest does not.

https://github.com/opencontainers/distribution-spec
"""

import json
import re
from functools import partial
from http import HTTPStatus
from http.client import HTTPResponse
from urllib.parse import urlencode

from acesniper.api.address import Address
from acesniper.domain.errors import Unavailable
from acesniper.runtime.artifacts.credentials import Credentials
from acesniper.runtime.artifacts.http import (
    Deadline,
    HttpStatusError,
    printable,
    request,
    translated,
)

REGISTRY_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Where a registry does not answer at the name that images have."""
MAX_TOKEN_BYTES = 1 << 20


def get_blob(
    address: Address, sha256: str, credentials: Credentials, deadline: Deadline
) -> HTTPResponse:
    """The blob of that digest, open. Raises Unavailable."""
    scheme = "http" if address.scheme == "oci+http" else "https"
    repository = re.sub(r"(:[^/:]+)?(@[^/]+)?$", "", address.path)
    host = REGISTRY_HOSTS.get(address.host, address.host)
    url = f"{scheme}://{host}/v2/{repository}/blobs/sha256:{sha256}"
    try:
        return _with_authorization(url, address, credentials, deadline)
    except HttpStatusError as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        raise Unavailable(
            f"{address.shown} has no blob of the digest {sha256}; is it that of the file, pushed as"
            " it is (`oras push`)?"
        ) from refused


def _with_authorization(
    url: str, address: Address, credentials: Credentials, deadline: Deadline
) -> HTTPResponse:
    """The answer to a GET, asked again with what the registry demands."""
    ask = partial(request, url, shown=address.shown, credentials=credentials, deadline=deadline)
    try:
        return ask({})
    except HttpStatusError as refused:
        if refused.status != HTTPStatus.UNAUTHORIZED:
            raise
        challenge = refused.headers.get("WWW-Authenticate", "")
    return ask({"Authorization": _authorization(challenge, address, credentials, deadline)})


def _authorization(
    challenge: str, address: Address, credentials: Credentials, deadline: Deadline
) -> str:
    """What the registry asks for: user and password, or a token bought with them."""
    kind, _, rest = challenge.partition(" ")
    basic = credentials.basic(address.host)
    if kind.lower() != "bearer":
        return f"Basic {basic}"
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.pop("realm", "")
    if not realm.startswith("https://") and address.scheme != "oci+http":
        raise Unavailable(f"{address.shown} sells its tokens without TLS, at {realm}")
    query = urlencode({name: asked[name] for name in ("service", "scope") if name in asked})
    headers = {"Authorization": f"Basic {basic}"} if basic else {}
    shown = f"the registry's {printable(realm)}"
    url = f"{realm}?{query}"
    with (
        request(url, headers, shown=shown, credentials=credentials, deadline=deadline) as answer,
        translated(shown),
    ):
        return f"Bearer {_token(answer.read(MAX_TOKEN_BYTES))}"


def _token(content: bytes) -> str:
    """The token in a registry's answer. Raises ValueError where there is none."""
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("its answer nests too deeply") from error
    token = found.get("token") or found.get("access_token") if isinstance(found, dict) else None
    if not isinstance(token, str):
        raise ValueError("there is no token in its answer")
    return token
