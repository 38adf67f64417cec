"""Leader election of replicas through a Lease.

Clocks of different machines are never compared: a Lease has expired when this process has seen it
unchanged for the duration of the Lease (docs/adr/0019 compares the official client's election).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from acesniper.api.names import LEASES
from acesniper.api.objects import Json
from acesniper.domain.errors import AcesniperError, Conflict, NotFound
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4
"""Renewal attempts within the duration of a Lease."""


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
    _until_s: float = float("-inf")
    _others: ObservedLease | None = None

    def held(self) -> bool:
        """Whether this process is the leader: no other process can hold the Lease now."""
        return self.clock() < self._until_s

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
        started_s, held = self.clock(), self.held()
        try:
            # A later response is useless, and the next attempt may succeed.
            async with asyncio.timeout(self.duration_s / 2):
                taken = await self._acquire()
        except Conflict:
            return  # another process acquired it
        except (AcesniperError, TimeoutError) as error:
            log.warning("lease %s not renewed: %s", self.name, error)
            return
        if taken:
            # Other processes count from when they observe the renewal, which is later.
            self._until_s = started_s + self.duration_s
            if not held:
                log.info("acquired lease %s", self.name)
                self.on_change()

    async def _acquire(self) -> bool:
        lease = await self.cluster.get(LEASES, self.name, self.namespace)
        if lease is None:
            metadata = {"name": self.name, "namespace": self.namespace}
            manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            spec = self._spec()
            await self.cluster.create(
                LEASES, {**manifest, "metadata": metadata, "spec": spec}, self.namespace
            )
            return True
        if not self._is_available(lease):
            return False
        version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "spec": self._spec()}
        await self.cluster.patch(LEASES, self.name, self.namespace, patch)
        return True

    def _is_available(self, lease: Json) -> bool:
        spec = lease.get("spec") or {}
        if self._others is None:
            self._others = ObservedLease(self.clock)
        unchanged_s = self._others.unchanged_s(lease)
        if spec.get("holderIdentity") in (None, "", self.identity):
            return True
        return unchanged_s > float(spec.get("leaseDurationSeconds") or self.duration_s)

    def _spec(self) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            # An integer, never shorter than `duration_s`.
            "leaseDurationSeconds": ceil(self.duration_s),
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
