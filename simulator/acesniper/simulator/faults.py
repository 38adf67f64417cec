"""Devices that are lost for a while, and devices that become slower than they were."""

from dataclasses import dataclass

import numpy as np

WINDOW = (0.3, 0.6)
"""Faults last from here to there, as shares of the time in which tasks arrive."""


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """From `from_s` to `to_s` a device takes `factor` times as long; if infinite, it is lost.

    What runs on a lost device is run again from its start, on any device. An infinite `to_s` means
    for good.
    """

    device: int
    from_s: float
    to_s: float
    factor: float = float("inf")


@dataclass(frozen=True, slots=True)
class FaultRates:
    """The shares of devices that are lost, and that become `factor` times slower."""

    lost: float = 0.0
    slow: float = 0.0
    factor: float = 3.0

    def drawn(self, devices: int, span_s: float, seed: int) -> list[DeviceFault]:
        """Faults of a run in which tasks arrive for `span_s`; no device has two."""
        order = np.random.default_rng([seed, 3]).permutation(devices).tolist()
        lost, slow = round(self.lost * devices), round(self.slow * devices)
        from_s, to_s = (share * span_s for share in WINDOW)
        return [
            *(DeviceFault(each, from_s, to_s) for each in order[:lost]),
            *(DeviceFault(each, from_s, to_s, self.factor) for each in order[lost : lost + slow]),
        ]
