"""ModelProfile: computational requirements of a model."""

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
    """The model and its input shapes."""

    source: ModelSource = Field(description="Source of the model file. Immutable.")
    batch_size: int = Field(
        default=1,
        ge=1,
        le=65536,
        description="Size of the symbolic batch dimension. Immutable. Default: 1.",
    )
    input_shapes: Shapes = Field(
        default_factory=dict,
        description="Sizes of other symbolic dimensions by name, such as {sequence: 128}. "
        "Immutable.",
    )


class DeviceClassLatency(ApiType):
    """Predicted latency on the devices of one class, in seconds."""

    device_class: str = Field(description="Provider and architecture, such as cpu/arm64.")
    devices: int = Field(description="Number of devices of the class with a prediction.")
    fastest_seconds: float = Field(description="Latency on the fastest device, in seconds.")
    median_seconds: float = Field(description="Median latency over the devices, in seconds.")
    slowest_seconds: float = Field(description="Latency on the slowest device, in seconds.")


class ReaderPod(ApiType):
    """The pod that reads a model in the operator's place."""

    name: str = Field(description="Name of the pod.")
    uid: str = Field(description="UID of the pod. What another pod of its name reports is ignored.")


class ModelProfileStatus(ApiType):
    """Features of the graph of the model, written by the operator."""

    text: str | None = Field(
        default=None,
        description="Short description of the model, such as its operations and parameters.",
    )
    features_version: str | None = Field(
        default=None, description="Version of the feature extraction."
    )
    features: dict[str, float] = Field(
        default_factory=dict, description="Feature vector, by feature name."
    )
    flops: float | None = Field(
        default=None,
        ge=0,
        description="Floating-point operations per inference; a multiply-add counts as 2.",
    )
    bytes_moved: float | None = Field(
        default=None, ge=0, description="Bytes read and written per inference."
    )
    parameters: int | None = Field(default=None, ge=0, description="Number of parameters.")
    peak_memory_bytes: int | None = Field(
        default=None, ge=0, description="Peak memory of weights and activations, in bytes."
    )
    needs_memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Observed lower bound of the memory the model needs, in bytes, after a run "
        "on a device with less memory was OOM-killed. Smaller devices are not "
        "feasible.",
    )
    operators: dict[str, int] = Field(
        default_factory=dict, description="Number of nodes by operator."
    )
    similar: dict[str, float] = Field(
        default_factory=dict,
        description="Most similar known networks with their similarity, from 0 to 1.",
    )
    labels: dict[str, int] = Field(
        default_factory=dict, description="Number of occurrences of each pattern of nodes."
    )
    latency: list[DeviceClassLatency] = Field(
        default_factory=list, description="Predicted latency by device class."
    )
    reader_pod: ReaderPod | None = Field(
        default=None, description="Pod that reads the model, while it does."
    )
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status reflects."
    )
    conditions: list[Condition] = conditions_field(
        "Conditions of the types Profiled and Unsupported."
    )


class ModelProfile(ApiType):
    """Computational requirements of a model, read from its ONNX graph."""

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
