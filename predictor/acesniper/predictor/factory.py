"""Create the predictor to use, and replace its network while it serves.

The shipped network is used unless a file is given. The file may be a mounted ConfigMap or a volume:
new content is loaded, a deleted file brings the shipped network back, and a file that cannot be
loaded is rejected and changes nothing.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import AcesniperError, VersionMismatch
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.base import LatencyArrays, LatencyPredictor, Observation, Observations
from acesniper.predictor.pcn.serve import SHIPPED_FILE, PcnPredictor

log = logging.getLogger(__name__)

SHIPPED = "shipped"
"""In place of a digest while the shipped network serves."""
POLL_INTERVAL_S = 10.0
"""How often the file is checked; a mounted ConfigMap itself is updated within a minute or so."""


def default_predictor(file: Path = SHIPPED_FILE) -> LatencyPredictor:
    """The trained network in `file` if there is one for these versions, else physics alone."""
    if not file.is_file():
        return PhysicsPredictor()
    try:
        return PcnPredictor.load(file)
    except VersionMismatch as error:
        log.warning("the shipped network is not used, predictions are analytical: %s", error)
        return PhysicsPredictor()


@dataclass(slots=True)
class ReplaceablePredictor:
    """A predictor whose network `reload` replaces; `digest` is the file's SHA-256, or SHIPPED."""

    file: Path
    digest: str = SHIPPED
    rejected: str | None = None
    """The digest of a file that cannot be used, until its content changes."""
    source: str = ""
    """The `source` of its predictions: the predictor's name and its network's digest."""
    _predictor: LatencyPredictor = field(default_factory=default_predictor)

    def __post_init__(self) -> None:
        self.source = self._predictor.source

    def reload(self) -> bool:
        """Load the file if its content changed; True if another network serves now."""
        digest = self._file_digest()
        if digest == (self.rejected or self.digest):
            return False
        before = self.digest
        try:
            new = default_predictor() if digest == SHIPPED else PcnPredictor.load(self.file)
        except (AcesniperError, OSError) as error:
            log.error("the network in %s is rejected: %s", self.file, error)
            self.rejected = digest
            return False
        self._predictor, self.digest, self.rejected = new, digest, None
        self.source = new.source if digest == SHIPPED else f"{new.source}@{digest[:8]}"
        log.warning("network %s replaces %s", digest[:12], before[:12])
        return digest != before

    async def follow(
        self, replaced: Callable[[], None], interval_s: float = POLL_INTERVAL_S
    ) -> None:
        """Poll the file until cancelled; call `replaced` after each change. Reads in a thread."""
        while True:
            if await asyncio.to_thread(self.reload):
                replaced()
            await asyncio.sleep(interval_s)

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """As LatencyPredictor."""
        return self._predictor.predict(model, device)

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """As LatencyPredictor."""
        return self._predictor.predict_all(models, devices)

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """As LatencyPredictor."""
        return self._predictor.table(models, devices, observed)

    def explain(
        self, model: ModelFeatures, device: HardwareVector, observed: Sequence[Observation] = ()
    ) -> Explanation | None:
        """As LatencyPredictor."""
        return self._predictor.explain(model, device, observed)

    def _file_digest(self) -> str:
        """The digest of the file's content, or SHIPPED if it cannot be read."""
        try:
            return hashlib.sha256(self.file.read_bytes()).hexdigest()
        except OSError:
            return SHIPPED
