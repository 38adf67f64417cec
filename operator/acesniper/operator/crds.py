"""Waits until the API server serves the operator's custom resources.

The operator may start before the CRDs are installed. kopf discovers resources once, at its start,
and would never watch those that are added later.
"""

import asyncio
import json
import logging

from acesniper.api.names import (
    DEVICE_PROFILES,
    GROUP,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    VERSION,
    Kind,
)
from acesniper.api.objects import Json
from acesniper.domain.errors import AcesniperError
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

RESOURCES = {resource.plural for resource in (INFERENCE_TASKS, MODEL_PROFILES, DEVICE_PROFILES)}
POLL_S = 1.0


async def wait_until_served(cluster: Cluster) -> None:
    """Return once the API server serves all custom resources."""
    logged = ""
    while cause := await _not_served(cluster):
        if cause != logged:
            log.warning("waiting for the custom resources: %s", cause)
        logged = cause
        await asyncio.sleep(POLL_S)


async def list_when_served(cluster: Cluster, kind: Kind) -> list[Json]:
    """All objects of a custom resource, once the API server serves it and answers."""
    while True:
        await wait_until_served(cluster)
        try:
            objects, _ = await cluster.list(kind)
        except AcesniperError as error:
            log.warning("%s not listed: %s", kind.plural, error)
            await asyncio.sleep(POLL_S)
        else:
            return objects


async def _not_served(cluster: Cluster) -> str:
    """Why the resources cannot be used yet; empty if they can."""
    try:
        answer = await cluster.fetch(f"/apis/{GROUP}/{VERSION}")
    except AcesniperError as error:
        return str(error)
    served = {resource["name"] for resource in json.loads(answer.text)["resources"]}
    missing = sorted(RESOURCES - served)
    return f"the API server does not serve {', '.join(missing)}" if missing else ""
