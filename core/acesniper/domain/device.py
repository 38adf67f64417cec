"""Devices: accelerators and CPUs of nodes, and the measurements of their probes."""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import NewType

NodeName = NewType("NodeName", str)
DeviceId = NewType("DeviceId", str)
"""The name of the device's DeviceProfile, unique in the cluster."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of one workload of the probe suite.

    `seconds` per run without load, and their relative spread (IQR / median); `sustained_s` after
    several seconds of load, `loaded_s` while another process loads the device. None: not measured.
    """

    seconds: float
    spread: float
    sustained_s: float | None = None
    loaded_s: float | None = None


@dataclass(frozen=True)
class HardwareVector:
    """Readings of the probe suite on one platform; workloads that could not run are missing.

    `readings` maps a workload to its reading; the workloads are those of `suite` in
    `version` (`acesniper.probe.suite`).
    """

    suite: str
    version: str
    readings: Mapping[str, Reading]

    @cached_property
    def digest(self) -> str:
        """Identifies the vector by its values: equal vectors have equal digests."""
        # Equal numbers have one representation: 1 as 1.0, -0.0 as 0.0.
        readings = [
            (name, *(None if value is None else float(value) + 0.0 for value in astuple(reading)))
            for name, reading in sorted(self.readings.items())
        ]
        return hashlib.sha256(repr((self.suite, self.version, readings)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Device:
    """A device as used by placement: a runtime provider on a node.

    `slots` tasks run at a time. `schedulable` is False for a cordoned or not-ready node.
    """

    id: DeviceId
    node: NodeName
    provider: str
    slots: int
    memory_bytes: int
    schedulable: bool = True


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of one run of the probe suite on one platform, with facts about the platform.

    `cpu_quota` is in cores (None: no limit); `missing` names the probes without a
    reading; `measured_at` is an ISO 8601 time.
    """

    vector: HardwareVector
    provider: str
    runtime: str
    runtime_version: str
    architecture: str
    cpu_model: str
    cores: int
    threads: int
    cpu_quota: float | None
    memory_bytes: int
    measured_at: str
    duration_s: float
    missing: tuple[str, ...] = ()
