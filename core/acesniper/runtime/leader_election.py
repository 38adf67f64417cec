"""Who may act: a Lease that one process at a time holds, and that others watch go stale.

Clocks of different machines are never compared: whether a lease is stale is judged by how long we
ourselves have seen it unchanged.
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
"""Tries to renew within the time that a lease lasts."""


@dataclass(slots=True)
class ObservedLease:
    """How long a lease has not changed before our eyes. `clock` is monotonic, in seconds."""

    clock: Callable[[], float]
    _last: object = None
    _since_s: float | None = None

    def unchanged_s(self, lease: Json | None) -> float:
        """Note the lease as it is now (None: there is none); seconds since it was different."""
        spec = (lease or {}).get("spec") or {}
        found = (spec.get("holderIdentity"), spec.get("renewTime"))
        if self._since_s is None or found != self._last:
            self._last, self._since_s = found, self.clock()
        return self.clock() - self._since_s


@dataclass(slots=True)
class LeaderElection:
    """Holds a lease as long as it can."""

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    duration_s: float
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    on_change: Callable[[], None] = lambda: None
    """Told when we come to hold it."""
    _until_s: float = float("-inf")
    _others: ObservedLease | None = None

    def held(self) -> bool:
        """Whether nobody else can hold it now."""
        return self.clock() < self._until_s

    async def run(self) -> None:
        """Take the lease and renew it for ever; gives it back when cancelled."""
        try:
            while True:
                await self._try()
                await asyncio.sleep(self.duration_s / RENEWALS_PER_LEASE)
        finally:
            if self.held():
                self._until_s = float("-inf")
                await self._give_back()

    async def _try(self) -> None:
        asked_s, held = self.clock(), self.held()
        try:
            # An answer that comes later is worth nothing, and the next try may be heard.
            async with asyncio.timeout(self.duration_s / 2):
                taken = await self._take()
        except Conflict:
            return  # another one was faster; we see who, next time
        except (AcesniperError, TimeoutError) as error:
            log.warning("lease %s not renewed: %s", self.name, error)
            return
        if taken:
            # Others count from the moment they see it, which is later.
            self._until_s = asked_s + self.duration_s
            if not held:
                log.info("holds the lease %s", self.name)
                self.on_change()

    async def _take(self) -> bool:
        found = await self.cluster.get(LEASES, self.name, self.namespace)
        if found is None:
            metadata = {"name": self.name, "namespace": self.namespace}
            manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            spec = self._spec()
            await self.cluster.create(
                LEASES, {**manifest, "metadata": metadata, "spec": spec}, self.namespace
            )
            return True
        if not self._free(found):
            return False
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "spec": self._spec()}
        await self.cluster.patch(LEASES, self.name, self.namespace, patch)
        return True

    def _free(self, lease: Json) -> bool:
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
            # Whole seconds, never fewer than we hold it for.
            "leaseDurationSeconds": ceil(self.duration_s),
            "renewTime": micro_time(self.wall_clock()),
        }

    async def _give_back(self) -> None:
        patch = {"spec": {"holderIdentity": "", "renewTime": micro_time(self.wall_clock())}}
        try:
            await self.cluster.patch(LEASES, self.name, self.namespace, patch)
        except (AcesniperError, NotFound) as error:
            log.info("lease %s not given back: %s", self.name, error)


def micro_time(seconds: float) -> str:
    """A time as Leases want it: with exactly six digits after the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
