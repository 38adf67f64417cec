"""DeviceProfile: what a device can do."""

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
    """Which device is measured, and how."""

    node: Name = Field(description="The node that holds the device.")
    provider: str = Field(
        default="cpu",
        max_length=32,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="The runtime provider: cpu, cuda, openvino, ...",
    )
    slots: int = Field(
        default=1, ge=1, le=64, description="How many tasks the device runs at a time."
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads per inference. Empty: one per core."
    )
    reprobe: str | None = Field(
        default=None,
        max_length=64,
        description="Any new value asks the node to measure itself again.",
    )


class DeviceReading(ApiType):
    """One reading of the probe suite."""

    seconds: LatencySeconds = Field(description="Seconds per run in a cool moment.")
    spread: float = Field(description="Interquartile range over the median.", ge=0, le=1e6)
    sustained_seconds: LatencySeconds | None = Field(
        default=None, description="Seconds per run after some seconds of load."
    )
    loaded_seconds: LatencySeconds | None = Field(
        default=None, description="Seconds per run beside another busy process."
    )


class DeviceObservation(ApiType):
    """One finished task on the device. Seconds, of one inference."""

    task: str = Field(description="UID of the task's pod.")
    model: str = Field(description="Its ModelProfile, as namespace/name.")
    median_seconds: LatencySeconds = Field(description="Median latency that was observed.")
    p90_seconds: LatencySeconds = Field(description="90th percentile of it.")
    expected_seconds: LatencySeconds = Field(description="Median latency that was predicted.")
    finished_at: Time = Field(description="When.")


class DeviceProfileStatus(ApiType):
    """What the probe measured, written by the probe on that node, and what ran there since."""

    text: str | None = Field(default=None, description="The device in a few words, for people.")
    suite: str | None = Field(default=None, description="Name of the probe suite.")
    suite_version: str | None = Field(default=None, description="Version of the probe suite.")
    readings: dict[str, DeviceReading] = Field(
        default_factory=dict, description="The HRM vector: what each probe took."
    )
    missing: list[str] = Field(default_factory=list, description="Probes without a reading here.")
    runtime: str | None = Field(default=None, description="The inference runtime that was used.")
    runtime_version: str | None = Field(default=None, description="Its version.")
    architecture: str | None = Field(default=None, description="The CPU architecture.")
    cpu_model: str | None = Field(default=None, description="The processor's own name.")
    cores: int | None = Field(default=None, description="Processor cores of the node.")
    threads: int | None = Field(default=None, description="Threads used per inference.")
    cpu_quota: float | None = Field(default=None, description="Cores that the quota allows.")
    memory_bytes: int | None = Field(default=None, ge=0, description="Memory of the device.")
    measured_at: Time | None = Field(default=None, description="When.")
    duration_seconds: float | None = Field(default=None, description="How long measuring took.")
    reprobed: str | None = Field(default=None, description="The `reprobe` value this answers.")
    observations: list[DeviceObservation] = Field(
        default_factory=list,
        max_length=128,
        description="The newest tasks that ran here; predictions for this device learn from them.",
    )
    calibration: str | None = Field(
        default=None, description="How those tasks compare with what was predicted, for people."
    )
    interval_factor: float = Field(
        default=1.0,
        ge=0.1,
        le=10.0,
        description="By how much wider than usual intervals are here, so that 90 % of its tasks "
        "end inside.",
    )
    learns_from: Time | None = Field(
        default=None,
        description="The device changed then: tasks that finished before say nothing of it.",
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    conditions: list[Condition] = conditions_field("Ready, Stale, Noisy and Drifting.")


class DeviceProfile(ApiType):
    """What a device can do: the vector its probe measured, one per node and provider."""

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
