"""A ledger made anew from what the API server lists, to set beside the one that lived."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from acesniper.api.names import DEVICE_PROFILES, NODES, PODS
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.watch_events import WatchEvents
from acesniper.predictor.default import default_predictor
from acesniper.runtime.client import Cluster
from acesniper.runtime.watch import UPSERT


def rebuilt_backlogs(kubeconfig: Path) -> Mapping[str, float]:
    """Backlog by device, in seconds, of a ledger that has seen nothing but one list."""
    return asyncio.run(_rebuild(kubeconfig))


async def _rebuild(kubeconfig: Path) -> Mapping[str, float]:
    cache = ClusterCache(LatencyTable(default_predictor()), time.time)
    takers = (
        (NODES, WatchEvents(cache).node),
        (DEVICE_PROFILES, WatchEvents(cache).device_profile),
        (PODS, WatchEvents(cache).pod),
    )
    async with Cluster.connect(kubeconfig) as cluster:
        for kind, take in takers:
            for each in (await cluster.list(kind))[0]:
                take(UPSERT, each)
    now_s = time.time()
    return {device.id: cache.ledger.backlog_s(device.id, now_s) for device in cache.devices}
