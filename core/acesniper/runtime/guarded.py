"""A connection through which only who may act changes anything."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from acesniper.domain.errors import Unavailable
from acesniper.runtime.client import Cluster, Kind, Object, PatchType, WatchEvent


class NotLeading(Unavailable):
    """Another replica acts now, or may."""


class GuardedCluster(Cluster):
    """Reads always; writes only while `may_act` says so, asked at every single one."""

    def __init__(self, cluster: Cluster, may_act: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._may_act = may_act

    def _check(self, what: str) -> None:
        if not self._may_act():
            raise NotLeading(f"{what}: another replica holds the lease")

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None when there is none."""
        return await self._cluster.get(kind, name, namespace)

    async def pages(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[tuple[Sequence[Object], str]]:
        """All objects, bit by bit."""
        async for page in self._cluster.pages(kind, namespace, labels):
            yield page

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events from `resource_version` on."""
        async for event in self._cluster.watch(kind, resource_version, namespace, labels):
            yield event

    async def create(self, kind: Kind, manifest: Object, namespace: str | None = None) -> Object:
        """Create an object; NotLeading where we may not."""
        self._check(f"create {kind.plural}")
        return await self._cluster.create(kind, manifest, namespace)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: object,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Object:
        """Change an object; NotLeading where we may not."""
        self._check(f"patch {kind.plural} {name}")
        return await self._cluster.patch(kind, name, namespace, patch, subresource, patch_type)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: str | None = None,
        grace_s: int | None = None,
    ) -> bool:
        """Delete an object; NotLeading where we may not."""
        self._check(f"delete {kind.plural} {name}")
        return await self._cluster.delete(kind, name, namespace, uid, version, grace_s)
