"""What a pod that reads a model's graph says, small enough for a termination message.

Such a message has at most 4096 bytes, and the API server keeps text only: features are rounded to
what matters, zeros are left out, and the rest is packed.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.domain.model import ModelFeatures

MAX_MESSAGE_BYTES = 4096
MAX_JSON_BYTES = 1 << 20
"""Nothing honest is larger; what unpacks to more is no answer."""


Amount = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class _PackedFeatures(BaseModel):
    """The features in a message, which anyone can have written who may make pods."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: str
    values: dict[str, Amount]
    flops: Amount
    bytes_moved: Amount
    parameters: Count
    peak_memory_bytes: Count
    operators: dict[str, Count]
    similar: dict[str, Annotated[float, Field(ge=0, le=1)]]
    labels: dict[str, Count]


def pack_features(found: ModelFeatures) -> str:
    """The features as a message. Raises InvalidModel (TooLarge) where they do not fit."""
    fields = {
        "version": found.version,
        "values": {name: _rounded(value) for name, value in found.values.items() if value},
        "flops": _rounded(found.flops),
        "bytes_moved": _rounded(found.bytes_moved),
        "parameters": found.parameters,
        "peak_memory_bytes": found.peak_memory_bytes,
        "operators": dict(found.operators),
        "similar": dict(found.similar),
        "labels": dict(found.labels),
    }
    packed = _pack({"features": fields})
    if len(packed) > MAX_MESSAGE_BYTES:
        raise InvalidModel("TooLarge", "the graph has too many kinds of nodes to be told of")
    return packed


def pack_error(error: InvalidModel | Unavailable) -> str:
    """Why there are no features, as a message."""
    reason = error.reason if isinstance(error, InvalidModel) else None
    return _pack({"reason": reason, "message": str(error)[:1000]})


def unpack_features(message: str, names: Iterable[str]) -> ModelFeatures | None:
    """The features in a message, with zeros for those of `names` that it leaves out.

    None where it is no such message: the pod died of something else.

    Raises:
        InvalidModel, Unavailable: what the pod ran into.
    """
    found = _unpack(message)
    if found is None:
        return None
    if "features" in found:
        try:
            told = _PackedFeatures.model_validate(found["features"])
        except ValidationError:
            return None
        values = {**dict.fromkeys(names, 0.0), **told.values}
        return ModelFeatures(**{**told.model_dump(), "values": values})
    message = str(found.get("message"))
    if found["reason"]:
        raise InvalidModel(str(found["reason"]), message)
    raise Unavailable(message)


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")


def _pack(content: object) -> str:
    text = json.dumps(content, separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _unpack(message: str) -> dict[str, Any] | None:
    try:
        packed = base64.b85decode(message.strip())
        text = zlib.decompressobj().decompress(packed, MAX_JSON_BYTES)
        found = json.loads(text)
    except (ValueError, RecursionError, zlib.error):
        return None
    return found if isinstance(found, dict) and ("features" in found or "reason" in found) else None
