"""What a runner says: its report, in the termination message of its pod, and how far it is."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acesniper.api.names import RUNNER_CONTAINER
from acesniper.domain.errors import InvalidModel, Unavailable, invalid_model_reason
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S

MAX_INFERENCES = 1_000_000_000
"""Inferences that a task may ask for."""
LatencySeconds = Annotated[float, Field(ge=MIN_LATENCY_S, le=MAX_LATENCY_S)]
Elapsed = Annotated[float, Field(ge=0, le=MAX_LATENCY_S)]
"""Anybody's container may say anything: what it says is learned from, and must be a time."""


class RunnerReport(BaseModel):
    """Version 1 of the report. Seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = Field(default=1, ge=1, le=1)
    model: str = ""
    sha256: str = ""
    device: str = ""
    inferences: int = Field(default=0, ge=0, le=MAX_INFERENCES)
    latency_median_s: LatencySeconds | None = None
    latency_p90_s: LatencySeconds | None = None
    fetch_s: Elapsed | None = None
    load_s: Elapsed | None = None
    total_s: Elapsed | None = None


class RunnerProgress(BaseModel):
    """What a runner says while it runs: batches done, of all, and the seconds that took."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    done: int = Field(ge=0, le=MAX_INFERENCES)
    total: int = Field(ge=1, le=MAX_INFERENCES)
    run_s: Elapsed


def parse_progress(content: bytes) -> RunnerProgress | None:
    """How far a runner is; None when it says something else."""
    try:
        return RunnerProgress.model_validate_json(content)
    except ValidationError:
        return None


def parse_report(message: str) -> RunnerReport | None:
    """The report in a termination message; None when it is none (a user's own container)."""
    try:
        return RunnerReport.model_validate_json(message)
    except ValidationError:
        return None


def terminated_state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The terminated state of a pod's runner container (or its first), empty if there is none."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    named = [each for each in statuses if each.get("name") == RUNNER_CONTAINER]
    for status in named or statuses:
        state: Mapping[str, Any] = (status.get("state") or {}).get("terminated") or {}
        return state
    return {}


# TODO merge docstring of acesniper.api.messages:
# What a pod that reads a model's graph says, small enough for a termination message.
#
# Such a message has at most 4096 bytes, and the API server keeps text only: features are rounded to
# what matters, zeros are left out, and the rest is packed.

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
        raise InvalidModel(invalid_model_reason(found["reason"], "ReaderCrashed"), message)
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
