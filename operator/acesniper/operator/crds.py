"""Waits for our resources: an operator may be started before their definitions are installed.

kopf asks once what the API server serves, and would be deaf for ever to what comes later.
"""

import asyncio
import json
import logging

from acesniper.api.names import DEVICE_PROFILES, GROUP, INFERENCE_TASKS, MODEL_PROFILES, VERSION
from acesniper.domain.errors import AcesniperError
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

OURS = {each.plural for each in (INFERENCE_TASKS, MODEL_PROFILES, DEVICE_PROFILES)}
LOOK_S = 1.0


async def wait_until_served(cluster: Cluster) -> None:
    """Return once the API server serves all our resources."""
    told = ""
    while wrong := await _wrong(cluster):
        if wrong != told:
            log.warning("waiting for our resources: %s", wrong)
        told = wrong
        await asyncio.sleep(LOOK_S)


async def _wrong(cluster: Cluster) -> str:
    """Why it cannot be started yet, "" if it can."""
    try:
        answer = await cluster.fetch(f"/apis/{GROUP}/{VERSION}")
    except AcesniperError as error:
        return str(error)
    served = {each["name"] for each in json.loads(answer.text)["resources"]}
    missing = sorted(OURS - served)
    return f"the API server does not serve {', '.join(missing)}" if missing else ""
