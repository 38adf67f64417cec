"""URIs of models, inputs and outputs.

    http://HOST/PATH   https://HOST/PATH
    s3://BUCKET/KEY[?endpoint=https://HOST][&region=NAME]
    oci://REGISTRY/REPOSITORY[:TAG]      oci+http:// for a registry without TLS
    pvc://CLAIM/PATH   configmap://NAME/KEY   hostpath:///PATH

The last three are mounted into a pod; the others are fetched over the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from acesniper.domain.errors import InvalidInput

HTTP = ("http", "https")
OCI = ("oci", "oci+http")
MOUNTED = ("pvc", "configmap", "hostpath")
SCHEMES = (*HTTP, "s3", *OCI, *MOUNTED)

MODEL_PATTERN = (
    r"^(https?://[^/@]+/.+|s3://[^/@]+/.+|oci(\+http)?://[^/@]+/.+"
    r"|pvc://[^/]+/.+|configmap://[^/]+/[^/]+|hostpath:///.+)$"
)
INPUT_PATTERN = r"^(https?://[^/@]+/.+|s3://[^/@]+/.+|pvc://[^/]+/.+)$"
OUTPUT_PATTERN = r"^(s3://[^/@]+(/.*)?|pvc://[^/]+(/.*)?)$"
"""Patterns that the API server checks. User and password in a URI are rejected; use a Secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URI.

    `host` is the name of a bucket, registry, claim or ConfigMap; `path` has no leading slash except
    for a hostpath.
    """

    scheme: str
    host: str
    path: str
    uri: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def mounted(self) -> bool:
        """Whether it is mounted as a volume."""
        return self.scheme in MOUNTED

    @property
    def file_name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def shown(self) -> str:
        """The URI for messages, without its query, which may hold a signature."""
        return self.uri.partition("?")[0]

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Parse a URI.

        Raises:
            InvalidInput: the URI is malformed, of an unknown scheme, or leaves its volume.
        """
        shown = uri.partition("?")[0]
        try:
            parts = urlsplit(uri)
        except ValueError:
            # The URI is neither quoted nor chained, as it may hold a password.
            scheme = uri.partition("://")[0]
            raise InvalidInput(f"{scheme}://...: the host is invalid") from None
        if parts.scheme not in SCHEMES:
            schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise InvalidInput(f"{shown}: use one of {schemes}")
        if "@" in parts.netloc:
            # The URI is not quoted, as it may hold a password.
            raise InvalidInput(f"{parts.scheme}://...: put credentials in a Secret, not in the URI")
        if parts.scheme in MOUNTED and ".." in parts.path.split("/"):
            raise InvalidInput(f"{shown}: the path must not leave its volume by '..'")
        path = parts.path if parts.scheme == "hostpath" else parts.path.lstrip("/")
        if (parts.scheme == "hostpath") == bool(parts.netloc):
            raise InvalidInput(
                f"{shown}: use hostpath:///PATH, or SCHEME://NAME/PATH for other schemes"
            )
        options = dict(parse_qsl(parts.query)) if parts.scheme == "s3" else {}
        return cls(parts.scheme, parts.netloc, path, uri, options)
