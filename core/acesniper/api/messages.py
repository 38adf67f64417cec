"""Messages of pods in termination messages and over HTTP: runner reports, progress, model features.

Every message is untrusted, as any container can write one, and is validated. A termination message
has at most 4096 bytes: features are rounded, zeros are left out, and the rest is compressed.
"""

import base64
import json
import zlib
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from acesniper.api.names import RUNNER_CONTAINER, SLOT_RESOURCE
from acesniper.domain.errors import InvalidModel, Unavailable, invalid_model_reason
from acesniper.domain.model import MAX_AMOUNT, MAX_COUNT, ModelFeatures
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S

MAX_INFERENCES = 1_000_000_000
"""Maximum number of inferences of a task."""
LatencySeconds = Annotated[float, Field(ge=MIN_LATENCY_S, le=MAX_LATENCY_S)]
Elapsed = Annotated[float, Field(ge=0, le=MAX_LATENCY_S)]
"""Reported times are untrusted, and predictions learn from them: they must be valid."""


class TaskReport(BaseModel):
    """Report of a runner at its end, version 1; times in seconds."""

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
    """Progress of a runner: inferences done and in total, and the seconds they took."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    done: int = Field(ge=0, le=MAX_INFERENCES)
    total: int = Field(ge=1, le=MAX_INFERENCES)
    run_s: Elapsed


def parse_progress(content: bytes) -> RunnerProgress | None:
    """The progress in an HTTP response; None if it is not a valid message."""
    try:
        return RunnerProgress.model_validate_json(content)
    except ValidationError:
        return None


def parse_report(message: str) -> TaskReport | None:
    """The report in a termination message; None if it is not one, as of a user's own container."""
    try:
        return TaskReport.model_validate_json(message)
    except ValidationError:
        return None


def runner_container(pod: Mapping[str, Any]) -> str | None:
    """Name of the container that does the work: `runner`, or else the one that has the slot.

    Sidecars that an admission webhook adds may come first in the spec; kubelet sorts by name.
    """
    containers = pod.get("spec", {}).get("containers") or ()
    if any(container.get("name") == RUNNER_CONTAINER for container in containers):
        return RUNNER_CONTAINER
    limited = (
        container
        for container in containers
        if SLOT_RESOURCE in ((container.get("resources") or {}).get("limits") or {})
    )
    container = next(limited, None) or next(iter(containers), None)
    return None if container is None else str(container.get("name"))


def terminated_state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Terminated state of the runner container, or of the first one; otherwise empty."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    named = [status for status in statuses if status.get("name") == runner_container(pod)]
    for status in named or statuses:
        state: Mapping[str, Any] = (status.get("state") or {}).get("terminated") or {}
        return state
    return {}


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("not printable")
    return name


MAX_MESSAGE_BYTES = 4096
MAX_JSON_BYTES = 1 << 20
"""A message that decompresses to more is invalid."""


Amount = Annotated[float, Field(ge=0, le=MAX_AMOUNT, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
MAX_NAMES = 1024
"""Entries of a mapping; the reader of graphs reports fewer."""


class _PackedFeatures(BaseModel):
    """Model features in a message from an untrusted pod."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Name
    values: dict[Name, Amount] = Field(max_length=MAX_NAMES)
    flops: Amount
    bytes_moved: Amount
    parameters: Count
    peak_memory_bytes: Count
    operators: dict[Name, Count] = Field(max_length=MAX_NAMES)
    similar: dict[Name, Annotated[float, Field(ge=0, le=1)]] = Field(max_length=MAX_NAMES)
    labels: dict[Name, Count] = Field(max_length=MAX_NAMES)


def pack_features(features: ModelFeatures) -> str:
    """Encode features as a message; raises InvalidModel (TooLarge) if they do not fit."""
    fields = {
        "version": features.version,
        "values": {name: _rounded(value) for name, value in features.values.items() if value},
        "flops": _rounded(features.flops),
        "bytes_moved": _rounded(features.bytes_moved),
        "parameters": features.parameters,
        "peak_memory_bytes": features.peak_memory_bytes,
        "operators": dict(features.operators),
        "similar": dict(features.similar),
        "labels": dict(features.labels),
    }
    packed = _pack({"features": fields})
    if len(packed) > MAX_MESSAGE_BYTES:
        raise InvalidModel(
            "TooLarge", "the features of the graph do not fit into a termination message"
        )
    return packed


def pack_error(error: InvalidModel | Unavailable) -> str:
    """Encode the reason why a model was not read."""
    reason = error.reason if isinstance(error, InvalidModel) else None
    return _pack({"reason": reason, "message": str(error)[:1000]})


def unpack_features(message: str, names: Collection[str]) -> ModelFeatures | None:
    """Decode features, with 0 for each of `names` that the message leaves out.

    None if it is not such a message, as when the pod failed for another reason, or features that
    the reader of graphs cannot report.

    Raises:
        InvalidModel, Unavailable: the error that the pod reports.
    """
    content = _unpack(message)
    if content is None:
        return None
    if "features" in content:
        try:
            packed = _PackedFeatures.model_validate(content["features"])
        except ValidationError:
            return None
        values = {**dict.fromkeys(names, 0.0), **packed.values}
        if len(values) > len(set(names)):
            return None
        return ModelFeatures(**{**packed.model_dump(), "values": values})
    message = str(content.get("message"))
    if content["reason"]:
        raise InvalidModel(invalid_model_reason(content["reason"], "ReaderCrashed"), message)
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
        content = json.loads(text)
    except (ValueError, RecursionError, zlib.error):
        return None
    has_result = isinstance(content, dict) and ("features" in content or "reason" in content)
    return content if has_result else None
