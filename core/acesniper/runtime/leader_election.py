"""Leader election of replicas through a Lease.

Clocks of different machines are never compared: a Lease has expired when this process has seen it
unchanged for the duration of the Lease (docs/adr/0019 compares the official client's election).

A Lease lasts longer while requests are slow, up to a limit, as on an API server that stores on an
SD card: a renewal is two requests, and must succeed before the Lease expires.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any, TypeVar

from acesniper.api.names import LEASES, SLOW_REQUESTS_ANNOTATION
from acesniper.api.objects import Json
from acesniper.domain.errors import AcesniperError, Conflict, NotFound
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4
"""Renewal attempts within the duration of a Lease, if requests are fast."""
REQUESTS_PER_LEASE = 8
"""A Lease lasts at least as long as this many of the slowest recent requests: half of it is the
time limit of a renewal of two requests, and a renewal that fails is followed by another one."""
RECENT_REQUESTS = 16

Answer = TypeVar("Answer")


@dataclass(slots=True)
class ObservedLease:
    """Age of the last observed change of a Lease; `clock` is monotonic, in seconds."""

    clock: Callable[[], float]
    _last: object = None
    _since_s: float | None = None

    def unchanged_s(self, lease: Json | None) -> float:
        """Record the Lease (None: it does not exist); returns seconds since its last change."""
        spec = (lease or {}).get("spec") or {}
        record = (spec.get("holderIdentity"), spec.get("renewTime"))
        if self._since_s is None or record != self._last:
            self._last, self._since_s = record, self.clock()
        return self.clock() - self._since_s


@dataclass(slots=True)
class LeaderElection:
    """Acquires a Lease, and renews it as long as possible."""

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    duration_s: float
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    on_change: Callable[[], None] = lambda: None
    """Called when this process becomes the leader."""
    max_duration_s: float = 60.0
    """Limit of the duration while requests are slow. With 60 s, a request may take up to 14 s; with
    slower ones, no process leads all the time."""
    _request_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_REQUESTS))
    _until_s: float = float("-inf")
    _others: ObservedLease | None = None

    def held(self) -> bool:
        """Whether this process is the leader: no other process can hold the Lease now."""
        return self.clock() < self._until_s

    def current_duration_s(self) -> float:
        """Duration of the Lease that is written next, by the time that recent requests took."""
        slow_s = REQUESTS_PER_LEASE * max(self._request_s, default=0.0)
        longest_s = max(self.duration_s, self.max_duration_s)
        scaled_s = min(max(self.duration_s, slow_s), longest_s)
        # A shorter Lease must not expire for others before the one that this process still counts.
        return max(scaled_s, self._until_s - self.clock())

    async def run(self) -> None:
        """Acquire and renew the Lease forever; releases it when cancelled."""
        try:
            while True:
                await self._attempt()
                await asyncio.sleep(self.duration_s / RENEWALS_PER_LEASE)
        finally:
            if self.held():
                self._until_s = float("-inf")
                await self._release()

    async def _attempt(self) -> None:
        started_s, held, duration_s = self.clock(), self.held(), self.current_duration_s()
        try:
            # A later response is useless, and the next attempt may succeed.
            async with asyncio.timeout(duration_s / 2):
                taken = await self._acquire(duration_s)
        except Conflict:
            return  # another process acquired it
        except (AcesniperError, TimeoutError) as error:
            log.warning("lease %s not renewed: %s", self.name, error)
            return
        if taken:
            # Other processes count from when they observe the renewal, which is later.
            self._until_s = started_s + duration_s
            if not held:
                log.info("acquired lease %s", self.name)
                self.on_change()

    async def _acquire(self, duration_s: float) -> bool:
        lease = await self._timed(self.cluster.get(LEASES, self.name, self.namespace))
        if lease is None:
            metadata: Json = {"name": self.name, "namespace": self.namespace}
            manifest: Json = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            manifest |= {"metadata": metadata, "spec": self._spec(duration_s)}
            await self._timed(self.cluster.create(LEASES, manifest, self.namespace))
            return True
        if not self._is_available(lease):
            return False
        slow_s = f"{max(self._request_s):.1f}" if duration_s > self.duration_s else None
        metadata = {
            "resourceVersion": lease["metadata"]["resourceVersion"],
            "annotations": {SLOW_REQUESTS_ANNOTATION: slow_s},
        }
        patch = {"metadata": metadata, "spec": self._spec(duration_s)}
        await self._timed(self.cluster.patch(LEASES, self.name, self.namespace, patch))
        return True

    async def _timed(self, request: Awaitable[Answer]) -> Answer:
        """Await a request and note how long it took, also if it failed or was given up."""
        started_s = self.clock()
        try:
            return await request
        finally:
            self._request_s.append(self.clock() - started_s)

    def _is_available(self, lease: Json) -> bool:
        spec = lease.get("spec") or {}
        if self._others is None:
            self._others = ObservedLease(self.clock)
        unchanged_s = self._others.unchanged_s(lease)
        if spec.get("holderIdentity") in (None, "", self.identity):
            return True
        return unchanged_s > float(spec.get("leaseDurationSeconds") or self.duration_s)

    def _spec(self, duration_s: float) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            # An integer, never shorter than `duration_s`.
            "leaseDurationSeconds": ceil(duration_s),
            "renewTime": micro_time(self.wall_clock()),
        }

    async def _release(self) -> None:
        patch = {"spec": {"holderIdentity": "", "renewTime": micro_time(self.wall_clock())}}
        try:
            await self.cluster.patch(LEASES, self.name, self.namespace, patch)
        except (AcesniperError, NotFound) as error:
            log.info("lease %s not released: %s", self.name, error)


def micro_time(seconds: float) -> str:
    """A time in the MicroTime format of Leases, with six fractional digits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
