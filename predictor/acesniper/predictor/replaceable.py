"""The network in a file that may be replaced while it serves; without one, the shipped network.

The file is a mounted ConfigMap, a volume, whatever can be written to: another content is loaded,
a file that is gone brings the shipped network back, and one that cannot be used changes nothing.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import AcesniperError
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.base import LatencyArrays, LatencyPredictor, Observation, Observations
from acesniper.predictor.factory import default_predictor
from acesniper.predictor.pcn.serve import PcnPredictor

log = logging.getLogger(__name__)

SHIPPED = "shipped"
"""What stands for a digest where the shipped network serves."""
POLL_INTERVAL_S = 10.0
"""How often the file is looked at; a mounted ConfigMap follows within a minute or so itself."""


@dataclass(slots=True)
class ReplaceablePredictor:
    """Predicts with what `reload` found last; `digest` is the file's SHA-256, or SHIPPED."""

    file: Path
    digest: str = SHIPPED
    refused: str | None = None
    """The digest of a file that cannot be used, until there is another."""
    source: str = ""
    """What predictions are said to come from: the network, and which of them."""
    _now: LatencyPredictor = field(default_factory=default_predictor)

    def __post_init__(self) -> None:
        self.source = self._now.source

    def reload(self) -> bool:
        """Load the file if it is another; True if predictions may be others now."""
        found = self._found()
        if found == (self.refused or self.digest):
            return False
        before = self.digest
        try:
            fresh = default_predictor() if found == SHIPPED else PcnPredictor.load(self.file)
        except (AcesniperError, OSError) as error:
            log.error("the network in %s is not used: %s", self.file, error)
            self.refused = found
            return False
        self._now, self.digest, self.refused = fresh, found, None
        self.source = fresh.source if found == SHIPPED else f"{fresh.source}@{found[:8]}"
        log.warning("network %s replaces %s", found[:12], before[:12])
        return found != before

    async def follow(self, replaced: Callable[[], None], look_s: float = POLL_INTERVAL_S) -> None:
        """Reload for ever, and tell when another network serves. Files are read in a thread."""
        while True:
            if await asyncio.to_thread(self.reload):
                replaced()
            await asyncio.sleep(look_s)

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """As LatencyPredictor."""
        return self._now.predict(model, device)

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """As LatencyPredictor."""
        return self._now.predict_all(models, devices)

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """As LatencyPredictor."""
        return self._now.table(models, devices, observed)

    def explain(
        self, model: ModelFeatures, device: HardwareVector, observed: Sequence[Observation] = ()
    ) -> Explanation | None:
        """As LatencyPredictor."""
        return self._now.explain(model, device, observed)

    def _found(self) -> str:
        """The digest of what is in the file now."""
        try:
            return hashlib.sha256(self.file.read_bytes()).hexdigest()
        except OSError:
            return SHIPPED
