"""What predictions for a device rest on: its probe, and what tasks took there since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acesniper.api import convert
from acesniper.api.conditions import condition_is_true
from acesniper.api.v1alpha1 import DeviceProfileStatus
from acesniper.domain.device import HardwareVector
from acesniper.domain.latency_history import ObservedLatency, observed_latencies
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.pcn.observations import DRIFTED_SHIFT, USUAL_SHIFT, Observation


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """A device's vector, what it takes for some models, and whether it changed since its probe.

    `interval_factor` is by how much wider than usual its intervals have to be.
    """

    vector: HardwareVector
    observed_latencies: tuple[ObservedLatency, ...] = ()
    drifted: bool = False
    interval_factor: float = 1.0

    @classmethod
    def of(cls, status: DeviceProfileStatus) -> "Measured | None":
        """What a profile says; None before the device was probed."""
        vector = convert.to_hardware_vector(status)
        if vector is None:
            return None
        found = observed_latencies(convert.observed_runs(status))
        drifting = condition_is_true(status.conditions, "Drifting")
        return cls(vector, tuple(found), drifting, status.interval_factor)

    def observations(self, models: Mapping[ModelKey, ModelFeatures]) -> Sequence[Observation]:
        """The evidence about models that are known, for the predictor."""
        shift = DRIFTED_SHIFT if self.drifted else USUAL_SHIFT
        return [
            Observation(models[each.model], each.latency_s, each.variance, shift)
            for each in self.evidence
            if each.model in models
        ]
