"""Files in OCI registries, pushed as artifacts by `oras push REPOSITORY FILE`.

Such a file is a layer whose digest is that of the file, so the task's digest names the blob and no
manifest is needed.

https://github.com/opencontainers/distribution-spec
"""

import json
import re
from functools import partial
from http import HTTPStatus
from http.client import HTTPResponse
from urllib.parse import urlencode, urlsplit

from acesniper.api.address import Address
from acesniper.domain.errors import Unavailable
from acesniper.runtime.artifacts.credentials import Credentials
from acesniper.runtime.artifacts.http import (
    HttpStatusError,
    Transfer,
    printable,
    request,
    translated,
)

REGISTRY_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Host of a registry, if it differs from the name in image references."""
TOKEN_HOSTS = {"registry-1.docker.io": "auth.docker.io", "registry.gitlab.com": "gitlab.com"}
"""Hosts that issue the tokens of well-known registries which do not do so themselves."""
MAX_TOKEN_BYTES = 1 << 20


def get_blob(
    address: Address, sha256: str, credentials: Credentials, transfer: Transfer
) -> HTTPResponse:
    """Open the blob of a digest; raises Unavailable."""
    scheme = "http" if address.scheme == "oci+http" else "https"
    repository = re.sub(r"(:[^/:]+)?(@[^/]+)?$", "", address.path)
    host = REGISTRY_HOSTS.get(address.host, address.host)
    url = f"{scheme}://{host}/v2/{repository}/blobs/sha256:{sha256}"
    try:
        return _with_authorization(url, address, credentials, transfer)
    except HttpStatusError as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        raise Unavailable(
            f"{address.shown} has no blob with the digest {sha256}; push the file"
            " uncompressed (`oras push`) and give its digest"
        ) from refused


def _with_authorization(
    url: str, address: Address, credentials: Credentials, transfer: Transfer
) -> HTTPResponse:
    """Send a GET, and repeat it with the authorization that the registry demands."""
    ask = partial(request, url, shown=address.shown, credentials=credentials, transfer=transfer)
    try:
        return ask({})
    except HttpStatusError as refused:
        if refused.status != HTTPStatus.UNAUTHORIZED:
            raise
        challenge = refused.headers.get("WWW-Authenticate", "")
    authorization = _authorization(challenge, url, address, credentials, transfer)
    return ask({"Authorization": authorization})


def _authorization(
    challenge: str, url: str, address: Address, credentials: Credentials, transfer: Transfer
) -> str:
    """The Authorization header: user and password, or a token obtained with them.

    A registry names the realm that issues its tokens. A realm elsewhere would receive the password,
    and the registry what that server answers; so another host must be named in the Secret, and
    redirects are not followed.
    """
    kind, _, rest = challenge.partition(" ")
    basic = credentials.basic(address.host)
    if kind.lower() != "bearer":
        return f"Basic {basic}"
    parameters = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = parameters.pop("realm", "").partition("?")[0]
    if not may_issue_token(realm, url, credentials.get("tokenHost")):
        raise Unavailable(
            f"{address.shown} issues its tokens at {printable(realm)}, which is not the registry's"
            " own host and port (with TLS, if the registry has it); if you trust it, name its host"
            " in the key tokenHost of the Secret that source.secret names"
        )
    query = urlencode(
        {name: parameters[name] for name in ("service", "scope") if name in parameters}
    )
    headers = {"Authorization": f"Basic {basic}"} if basic else {}
    shown = f"the registry's {printable(realm)}"
    ask = partial(request, f"{realm}?{query}", headers, shown=shown, redirects=False)
    with ask(credentials=credentials, transfer=transfer) as response, translated(shown):
        return f"Bearer {_token(response.read(MAX_TOKEN_BYTES))}"


def may_issue_token(realm: str, registry_url: str, token_host: str = "") -> bool:
    """Whether a realm is at the registry's own host and port, or at the host named for it.

    Never at a plain http:// address if the registry is accessed with TLS.
    """
    try:
        issuer, registry = urlsplit(realm), urlsplit(registry_url)
        if issuer.scheme not in ("https", registry.scheme) or set("@\\") & set(issuer.netloc):
            return False
        other = token_host or TOKEN_HOSTS.get(registry.netloc.lower(), registry.netloc)
        places = (_place(registry_url), _place(f"{issuer.scheme}://{other}"))
        return issuer.hostname is not None and _place(realm) in places
    except ValueError:  # an invalid host or port
        return False


def _place(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _token(content: bytes) -> str:
    """The token in the response of a registry; raises ValueError if it is missing."""
    try:
        parsed = json.loads(content)
    except RecursionError as error:
        raise ValueError("the response is nested too deeply") from error
    token = parsed.get("token") or parsed.get("access_token") if isinstance(parsed, dict) else None
    if not isinstance(token, str):
        raise ValueError("the response has no token")
    return token
