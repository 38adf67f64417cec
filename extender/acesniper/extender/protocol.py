"""Wire format of the scheduler extender protocol: kube-scheduler's Go structs have no JSON tags.

msgspec decodes only the fields declared here and skips the rest of the pod, which keeps a request
below a millisecond.
"""

import msgspec


class Metadata(msgspec.Struct):
    """Metadata of the pod to schedule."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Pod(msgspec.Struct):
    """The pod to schedule."""

    metadata: Metadata


class ExtenderArgs(msgspec.Struct):
    """Request of `/filter` and `/prioritize`, with node names only (`nodeCacheCapable: true`)."""

    pod: Pod = msgspec.field(name="Pod")
    node_names: list[str] = msgspec.field(name="NodeNames")


class FilterResult(msgspec.Struct):
    """Response of `/filter`."""

    node_names: list[str] = msgspec.field(name="NodeNames")
    failed: dict[str, str] = msgspec.field(name="FailedNodes", default_factory=dict)
    unresolvable: dict[str, str] = msgspec.field(
        name="FailedAndUnresolvableNodes", default_factory=dict
    )
    error: str = msgspec.field(name="Error", default="")


class HostPriority(msgspec.Struct, gc=False):
    """One entry of the response of `/prioritize`; the score is 0 to 10.

    Not tracked by the garbage collector: a response has thousands, without references to others.
    """

    host: str = msgspec.field(name="Host")
    score: int = msgspec.field(name="Score")


MAX_SCORE = 10
MAX_NODES = 20_000
"""Maximum number of candidates in a request."""
MAX_POD_QUOTES = 3 << 19
"""Quotation marks in a pod: one in each byte that etcd stores of it."""

_args = msgspec.json.Decoder(ExtenderArgs)
_encoder = msgspec.json.Encoder()


def decode_args(body: bytes) -> ExtenderArgs:
    """Decode a request.

    Raises:
        msgspec.MsgspecError: it is not what kube-scheduler sends with nodeCacheCapable.
    """
    # Short strings take up to eighteen times their size in memory.
    if len(body) > MAX_POD_QUOTES and body.count(b'"') > MAX_POD_QUOTES + 2 * MAX_NODES:
        raise msgspec.ValidationError(f"more strings than a pod and {MAX_NODES} names")
    try:
        return _args.decode(body)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8: {error}") from error


def encode(response: FilterResult | list[HostPriority]) -> bytes:
    """Encode a response."""
    return _encoder.encode(response)
