"""One frozen view of the fleet, for one plan."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import slots_free_s
from acesniper.policies.estimates import Estimates, Floats


@dataclass(frozen=True, slots=True, eq=False)
class FleetSnapshot:
    """The fleet at `now_s`; `busy_s[device]` holds the remaining seconds of each pod on it."""

    now_s: float
    estimates: Estimates
    busy_s: Mapping[DeviceId, tuple[float, ...]]

    def free_s(self) -> Floats:
        """Seconds until each lane is free; a device's lanes soonest first."""
        lane_of, devices = self.estimates.lane_of, self.estimates.device_of
        free_s = np.zeros(len(devices))
        for device, busy_s in self.busy_s.items():
            lane = lane_of.get(device)
            if lane is None or not busy_s:
                continue
            slots = devices[lane].slots
            if slots == 1:
                free_s[lane] = sum(busy_s)
            else:
                free_s[lane : lane + slots] = slots_free_s(busy_s, slots)
        return free_s
