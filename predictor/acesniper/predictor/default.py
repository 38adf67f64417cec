"""The predictor to use where none was chosen."""

import logging

from acesniper.domain.errors import VersionMismatch
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.pcn.serve import SHIPPED_FILE, PcnPredictor

log = logging.getLogger(__name__)


def default_predictor() -> LatencyPredictor:
    """The trained network where one is shipped that reads these versions, else physics alone."""
    if not SHIPPED_FILE.is_file():
        return PhysicsPredictor()
    try:
        return PcnPredictor.load(SHIPPED_FILE)
    except VersionMismatch as error:
        log.warning("predicting by physics alone: %s", error)
        return PhysicsPredictor()
