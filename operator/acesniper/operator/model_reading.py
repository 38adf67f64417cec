"""Reading of a model: by the operator itself, or by a pod in the model's namespace.

The operator fetches from addresses that it may connect to. A model elsewhere, behind a Secret or in
a volume is read by a pod, which has the network position of its namespace.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from acesniper.api.v1alpha1 import ModelProfile, ModelProfileSpec, ReaderPod
from acesniper.domain.errors import AddressNotAllowed
from acesniper.domain.model import ModelFeatures
from acesniper.operator.fairness import FairSlot, NamespaceTurns
from acesniper.operator.model_fetcher import FETCHES, ModelFetcher, server_of
from acesniper.operator.model_readers import ModelReaderPods, needs_pod

MAX_ELSEWHERE = 10_000
"""Servers that are remembered as out of the operator's reach."""


class GraphReader(Protocol):
    """Reads a model's graph in a child process with resource limits."""

    def __call__(self, path: Path, spec: ModelProfileSpec) -> ModelFeatures:
        """The features of the file for the spec's shapes. Raises InvalidModel."""
        ...


@dataclass(slots=True)
class ModelReading:
    """Reads models; one graph at a time, as each may use all memory that the container has left."""

    fetcher: ModelFetcher
    read_graph: GraphReader
    pods: ModelReaderPods | None = None
    """Reads models that the operator itself cannot access."""
    _reader: FairSlot = field(default_factory=FairSlot)
    _elsewhere: "OrderedDict[str, None]" = field(default_factory=OrderedDict)

    async def read(self, profile: ModelProfile) -> ModelFeatures | ReaderPod:
        """The features, or the pod that reads them.

        Raises:
            InvalidModel: the model cannot be used.
            Unavailable: it cannot be fetched now.
        """
        source, uid = profile.spec.source, str(profile.metadata.get("uid"))
        if self.pods is None:
            return await self._read_here(profile)
        if needs_pod(source) or profile.status.reader_pod is not None or uid in self._elsewhere:
            return await self.pods.read(profile)
        try:
            return await self._read_here(profile)
        except AddressNotAllowed:
            # Without a further attempt: a name may resolve to another address each time.
            self._elsewhere[uid] = None
            if len(self._elsewhere) > MAX_ELSEWHERE:
                self._elsewhere.popitem(last=False)
            return await self.pods.read(profile)

    async def _read_here(self, profile: ModelProfile) -> ModelFeatures:
        namespace = str(profile.metadata["namespace"])
        async with (
            self.fetcher.held(profile.spec.source, namespace) as path,
            self._reader.held(namespace),
        ):
            return await asyncio.to_thread(self.read_graph, path, profile.spec)


def fair_order(models: Mapping[str, ModelProfile]) -> NamespaceTurns[tuple[str, str]]:
    """The order in which (kind, model key) are worked on: fair between namespaces and servers."""

    def place(key: tuple[str, str]) -> tuple[str, str]:
        profile = models.get(key[1])
        lane = server_of(profile.spec.source.uri) if profile is not None else ""
        return key[1].partition("/")[0], lane

    return NamespaceTurns(place, FETCHES)
