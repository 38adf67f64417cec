"""The scheduler extender's wire format: kube-scheduler's Go structs carry no JSON tags.

msgspec reads only the fields named here, which is most of what keeps a request under a
millisecond; everything else in the pod is skipped.
"""

import msgspec


class Metadata(msgspec.Struct):
    """Of the pod in question."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Pod(msgspec.Struct):
    """The pod to place."""

    metadata: Metadata


class ExtenderArgs(msgspec.Struct):
    """What `/filter` and `/prioritize` are asked: names only (`nodeCacheCapable: true`)."""

    pod: Pod = msgspec.field(name="Pod")
    node_names: list[str] = msgspec.field(name="NodeNames")


class FilterResult(msgspec.Struct):
    """The answer of `/filter`."""

    node_names: list[str] = msgspec.field(name="NodeNames")
    failed: dict[str, str] = msgspec.field(name="FailedNodes", default_factory=dict)
    unresolvable: dict[str, str] = msgspec.field(
        name="FailedAndUnresolvableNodes", default_factory=dict
    )
    error: str = msgspec.field(name="Error", default="")


class HostPriority(msgspec.Struct, gc=False):
    """One entry of the answer of `/prioritize`; the score is 0 to 10.

    Thousands are made per answer and hold nothing but a string and a number: the garbage collector
    need not know them.
    """

    host: str = msgspec.field(name="Host")
    score: int = msgspec.field(name="Score")


MAX_SCORE = 10

_args = msgspec.json.Decoder(ExtenderArgs)
_encoder = msgspec.json.Encoder()


def decode_args(body: bytes) -> ExtenderArgs:
    """Read a request.

    Raises:
        msgspec.ValidationError: it is not what kube-scheduler sends with nodeCacheCapable.
    """
    return _args.decode(body)


def encode(answer: FilterResult | list[HostPriority]) -> bytes:
    """Write an answer."""
    return _encoder.encode(answer)
