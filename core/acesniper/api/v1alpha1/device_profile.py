"""DeviceProfile: measured performance of a device."""

from typing import Any, Literal

from pydantic import Field

from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1.schema import (
    ApiType,
    Condition,
    LatencySeconds,
    Name,
    PrinterColumn,
    Time,
    conditions_field,
    immutable,
)


class DeviceProfileSpec(ApiType):
    """The device to measure."""

    node: Name = Field(description="Name of the node of the device. Immutable.")
    provider: str = Field(
        default="cpu",
        max_length=32,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Runtime provider of the device: cpu, cuda, openvino, ... Immutable. "
        "Default: cpu.",
    )
    slots: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of tasks that the device runs at a time. Default: 1.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Number of threads per inference. The probe measures again with a new number. "
        "Default: one per core.",
    )
    reprobe: str | None = Field(
        default=None,
        max_length=64,
        description="A new value, such as a date, requests a new measurement.",
    )


class DeviceReading(ApiType):
    """Result of one workload of the probe suite."""

    seconds: LatencySeconds = Field(description="Median time per run without load, in seconds.")
    spread: float = Field(
        description="Interquartile range of the time per run, divided by the median.", ge=0, le=1e6
    )
    sustained_seconds: LatencySeconds | None = Field(
        default=None, description="Time per run after several seconds of load, in seconds."
    )
    loaded_seconds: LatencySeconds | None = Field(
        default=None, description="Time per run while another process loads the device, in seconds."
    )


class DeviceObservation(ApiType):
    """One finished task on the device; latencies of one inference, in seconds."""

    task: str = Field(description="UID of the pod of the task.")
    model: str = Field(description="ModelProfile of the task, as namespace/name.")
    median_seconds: LatencySeconds = Field(description="Observed median latency, in seconds.")
    p90_seconds: LatencySeconds = Field(
        description="Observed 90th percentile of the latency, in seconds."
    )
    expected_seconds: LatencySeconds = Field(description="Predicted median latency, in seconds.")
    finished_at: Time = Field(description="Time of the finish.")
    reported_by: Literal["Runner", "Container"] = Field(
        default="Runner",
        description="What measured the latency: the runner image, or a container of the task's own,"
        " from which other namespaces do not learn. Default: Runner.",
    )


class DeviceNamespace(ApiType):
    """What the tasks of one namespace showed of the device."""

    namespace: str = Field(description="Namespace of the tasks.")
    calibration: str | None = Field(
        default=None,
        description="Comparison of observed with predicted latencies of these tasks.",
    )
    interval_factor: float = Field(
        default=1.0,
        ge=0.1,
        le=10.0,
        description="Factor on the width of the prediction intervals of the namespace's models on"
        " this device, adapted so that 90 % of the latencies are inside. Default: 1.",
    )
    drift: Literal["Slower", "Faster"] | None = Field(
        default=None, description="Direction of the latest drift of these latencies."
    )
    drifted_at: Time | None = Field(
        default=None,
        description="Start of the latest drift; for this namespace, earlier latencies are"
        " discounted.",
    )


class DeviceProfileStatus(ApiType):
    """Measurements by the probe of the node, and observations of tasks since then."""

    text: str | None = Field(
        default=None,
        description="Short description of the device, such as its processor and number of threads.",
    )
    suite: str | None = Field(default=None, description="Name of the probe suite.")
    suite_version: str | None = Field(default=None, description="Version of the probe suite.")
    readings: dict[str, DeviceReading] = Field(
        default_factory=dict, description="The HRM vector: results of the probe suite by workload."
    )
    missing: list[str] = Field(
        default_factory=list, description="Workloads of the suite without a reading on this device."
    )
    runtime: str | None = Field(
        default=None, description="Name of the inference runtime that was used."
    )
    runtime_version: str | None = Field(
        default=None, description="Version of the inference runtime."
    )
    architecture: str | None = Field(default=None, description="CPU architecture, such as arm64.")
    cpu_model: str | None = Field(default=None, description="Model name of the processor.")
    cores: int | None = Field(default=None, description="Number of processor cores of the node.")
    threads: int | None = Field(default=None, description="Number of threads per inference.")
    cpu_quota: float | None = Field(
        default=None, description="CPU limit of the probe, in cores; missing if unlimited."
    )
    memory_bytes: int | None = Field(
        default=None, ge=0, description="Memory of the device, in bytes."
    )
    measured_at: Time | None = Field(default=None, description="Time of the measurement.")
    duration_seconds: float | None = Field(
        default=None, description="Duration of the measurement, in seconds."
    )
    reprobed: str | None = Field(
        default=None, description="Value of `spec.reprobe` that this measurement responds to."
    )
    observations: list[DeviceObservation] = Field(
        default_factory=list,
        max_length=128,
        description="The newest finished tasks on the device; predictions for the device learn "
        "from them.",
    )
    namespaces: list[DeviceNamespace] = Field(
        default_factory=list,
        max_length=32,
        description="The namespaces of these tasks. Each learns from its own tasks; the others"
        " learn the median of what the namespaces show.",
    )
    calibration: str | None = Field(
        default=None,
        description='Comparison of observed with predicted latencies, such as "1.05 x '
        'predicted, median error 4 %, over 12 tasks".',
    )
    interval_factor: float = Field(
        default=1.0,
        ge=0.1,
        le=10.0,
        description="Factor on the width of the prediction intervals of this device, for namespaces"
        " whose tasks have not run on it: the median of those of `namespaces`. Default: 1.",
    )
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status reflects."
    )
    conditions: list[Condition] = conditions_field(
        "Conditions of the types Ready, Stale, Noisy and Drifting."
    )


class DeviceProfile(ApiType):
    """Measured performance of a device: one per node and runtime provider."""

    api_version: Literal["acesniper.io/v1alpha1"] = API_VERSION
    kind: Literal["DeviceProfile"] = "DeviceProfile"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: DeviceProfileSpec
    status: DeviceProfileStatus = Field(default_factory=DeviceProfileStatus)


DEVICE_RULES = (immutable("node"), immutable("provider"))
DEVICE_COLUMNS = (
    PrinterColumn("Node", ".spec.node"),
    PrinterColumn("Provider", ".spec.provider"),
    PrinterColumn("Slots", ".spec.slots", "integer"),
    PrinterColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
    PrinterColumn("Device", ".status.text"),
    PrinterColumn("Suite", ".status.suiteVersion", priority=1),
    PrinterColumn("Calibration", ".status.calibration", priority=1),
    PrinterColumn("Measured", ".status.measuredAt", "date"),
)
