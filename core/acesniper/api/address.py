"""Where a model, an input or an output is: a URI, taken apart.

    http://HOST/PATH   https://HOST/PATH
    s3://BUCKET/KEY[?endpoint=https://HOST][&region=NAME]
    oci://REGISTRY/REPOSITORY[:TAG]      oci+http:// where the registry has no TLS
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
"""What the API server lets in: no credentials in front of a host, they belong into a Secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URI.

    `host` is a bucket's, a registry's, a claim's or a ConfigMap's name; `path` has no leading
    slash, save that of a hostpath.
    """

    scheme: str
    host: str
    path: str
    uri: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def mounted(self) -> bool:
        """Whether it is reached through a volume."""
        return self.scheme in MOUNTED

    @property
    def file_name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def shown(self) -> str:
        """For messages: without the query, which may be a signature that lets anyone in."""
        return self.uri.partition("?")[0]

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Take a URI apart.

        Raises:
            InvalidInput: it is none of ours, or leaves its volume.
        """
        shown = uri.partition("?")[0]
        try:
            parts = urlsplit(uri)
        except ValueError:
            # Neither repeated nor chained: it may hold a password.
            scheme = uri.partition("://")[0]
            raise InvalidInput(f"{scheme}://...: its host is none") from None
        if parts.scheme not in SCHEMES:
            known = ", ".join(f"{each}://" for each in SCHEMES)
            raise InvalidInput(f"{shown}: give one of {known}")
        if "@" in parts.netloc:
            # Not repeated: it holds a password.
            raise InvalidInput(f"{parts.scheme}://...: put credentials into a Secret, not in a URI")
        if parts.scheme in MOUNTED and ".." in parts.path.split("/"):
            raise InvalidInput(f"{shown}: '..' leaves the volume")
        path = parts.path if parts.scheme == "hostpath" else parts.path.lstrip("/")
        if (parts.scheme == "hostpath") == bool(parts.netloc):
            raise InvalidInput(
                f"{shown}: write hostpath:///PATH, and SCHEME://NAME/PATH for others"
            )
        options = dict(parse_qsl(parts.query)) if parts.scheme == "s3" else {}
        return cls(parts.scheme, parts.netloc, path, uri, options)
