"""ModelProfile: what a model asks for."""

from typing import Any, Literal

from pydantic import Field

from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1.schema import (
    ApiType,
    Condition,
    ModelSource,
    PrinterColumn,
    Shapes,
    address_rules,
    conditions_field,
    immutable,
)


class ModelProfileSpec(ApiType):
    """Which model, and for which input shapes."""

    source: ModelSource = Field(description="Where the model is.")
    batch_size: int = Field(
        default=1, ge=1, le=65536, description="Value of a symbolic batch dimension."
    )
    input_shapes: Shapes = Field(
        default_factory=dict, description="Values for other symbolic dimensions, by name."
    )


class DeviceClassLatency(ApiType):
    """Predicted latency over the devices of one class. Seconds."""

    device_class: str = Field(description="Provider and architecture, such as cpu/arm64.")
    devices: int = Field(description="How many devices of the class were predicted.")
    fastest_seconds: float = Field(description="Latency on the fastest of them.")
    median_seconds: float = Field(description="Median over them.")
    slowest_seconds: float = Field(description="Latency on the slowest of them.")


class ModelProfileStatus(ApiType):
    """What one pass over the model's graph found, written by the operator."""

    text: str | None = Field(default=None, description="The model in a few words, for people.")
    features_version: str | None = Field(default=None, description="Version of the graph reader.")
    features: dict[str, float] = Field(
        default_factory=dict, description="The feature vector, by name."
    )
    flops: float | None = Field(
        default=None, ge=0, description="Floating point operations (2 per MAC)."
    )
    bytes_moved: float | None = Field(default=None, ge=0, description="Bytes read and written.")
    parameters: int | None = Field(default=None, ge=0, description="Number of weights.")
    peak_memory_bytes: int | None = Field(
        default=None, ge=0, description="Weights and activations."
    )
    needs_memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="What it needs at least, by what happened: a run with less was killed for want "
        "of memory. Only devices with so much are asked from then on.",
    )
    operators: dict[str, int] = Field(default_factory=dict, description="Nodes by operator.")
    similar: dict[str, float] = Field(
        default_factory=dict, description="Nearest known networks and their likeness, 0 to 1."
    )
    labels: dict[str, int] = Field(
        default_factory=dict, description="Patterns of nodes and how often each occurs."
    )
    latency: list[DeviceClassLatency] = Field(
        default_factory=list, description="Predicted latency per device class."
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    conditions: list[Condition] = conditions_field("Profiled and Unsupported.")


class ModelProfile(ApiType):
    """What a model asks for: read once from its ONNX graph."""

    api_version: Literal["acesniper.io/v1alpha1"] = API_VERSION
    kind: Literal["ModelProfile"] = "ModelProfile"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: ModelProfileSpec
    status: ModelProfileStatus = Field(default_factory=ModelProfileStatus)


MODEL_RULES = (
    *address_rules("source"),
    *map(immutable, ("source", "batchSize", "inputShapes")),
)
MODEL_COLUMNS = (
    PrinterColumn("Profiled", ".status.conditions[?(@.type=='Profiled')].status"),
    PrinterColumn("Model", ".status.text"),
    PrinterColumn("Reason", ".status.conditions[?(@.type=='Profiled')].reason", priority=1),
    PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
)
