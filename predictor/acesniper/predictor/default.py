"""The predictor to use where none was chosen."""

import logging

from acesniper.domain.errors import VersionMismatch
from acesniper.predictor.interface import LatencyPredictor
from acesniper.predictor.pcn.serving import SHIPPED, PcnPredictor
from acesniper.predictor.physics import PhysicsPredictor

log = logging.getLogger(__name__)


def default_predictor() -> LatencyPredictor:
    """The trained network where one is shipped that reads these versions, else physics alone."""
    if not SHIPPED.is_file():
        return PhysicsPredictor()
    try:
        return PcnPredictor.load(SHIPPED)
    except VersionMismatch as error:
        log.warning("predicting by physics alone: %s", error)
        return PhysicsPredictor()
