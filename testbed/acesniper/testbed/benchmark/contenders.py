"""Contenders of the benchmark, and their Kubernetes objects.

Each contender has a namespace; all run on the same nodes, one after the other. There is no probe
and no model file: the extender reads predictions from a CSV file.
"""

import csv
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acesniper.api.names import API_VERSION
from acesniper.api.objects import Json
from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1 import ModelProfileStatus, ModelSource, with_condition
from acesniper.domain.task import ModelKey
from acesniper.policies.estimates import PredictionRow
from acesniper.predictor.csv import SUITE
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.simulator.cluster import SimulatedCluster
from acesniper.testbed.kwok import make_node


@dataclass(frozen=True, slots=True)
class Contender:
    """`prefix` is added to a model's name to look up its predictions."""

    namespace: str
    prefix: str = ""
    ours: bool = True


OURS = Contender("ours")
ORACLE = Contender("oracle", "true-")
"""Our scheduler with the true latencies as predictions."""
STOCK = Contender("stock", ours=False)

CONTENDERS = (OURS, ORACLE, STOCK)


SOURCE = ModelSource(uri="http://models.invalid/model.onnx", sha256="0" * 64)
"""There is no file: the profile is applied with its status."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectNames:
    """Kubernetes object names of the cluster's devices and models, in their order."""

    nodes: Sequence[str]
    models: Mapping[ModelKey, str]

    @classmethod
    def of(cls, cluster: SimulatedCluster) -> "ObjectNames":
        """Numbered nodes; numbered models, with the part of their name that Kubernetes allows."""
        models = {
            ModelKey(model): f"m{place:03d}-{_allowed(model)}".rstrip("-")
            for place, model in enumerate(cluster.models)
        }
        return cls([f"node-{place:04d}" for place in range(len(cluster.devices))], models)


def _allowed(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]


def nodes(names: ObjectNames) -> list[Json]:
    """Fake nodes; the operator adds their slots once they have profiles."""
    return [make_node(name) for name in names.nodes]


def device_profiles(names: ObjectNames, cluster: SimulatedCluster) -> list[Json]:
    """A profile per node whose only reading identifies the device in the CSV file."""
    now = rfc3339(time.time())
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "DeviceProfile",
            "metadata": {"name": node},
            "spec": {"node": node, "provider": "cpu"},
            "status": {
                "text": device.id[:200],
                "suite": SUITE,
                "suiteVersion": "1",
                "readings": {node: {"seconds": 1.0, "spread": 0.0}},
                "measuredAt": now,
            },
        }
        for node, device in zip(names.nodes, cluster.devices, strict=True)
    ]


def model_profiles(names: ObjectNames, contender: Contender) -> list[Json]:
    """Profiles of a contender's models with a status that refers to their name in the CSV file."""
    text = "a model of a table"
    conditions = with_condition(
        [], ConditionType.PROFILED, True, Reason.PROFILED, text, time.time(), 1
    )
    profiles = []
    for name in names.models.values():
        status = ModelProfileStatus(
            text=text,
            features_version=FEATURES_VERSION,
            similar={contender.prefix + name: 1.0},
            conditions=conditions,
            observed_generation=1,
        )
        profiles.append(
            {
                "apiVersion": API_VERSION,
                "kind": "ModelProfile",
                "metadata": {"name": name, "namespace": contender.namespace},
                "spec": {"source": SOURCE.model_dump(by_alias=True, exclude_none=True)},
                "status": status.model_dump(by_alias=True, exclude_none=True, mode="json"),
            }
        )
    return profiles


def write_predictions(
    path: Path,
    names: ObjectNames,
    predicted: Mapping[ModelKey, PredictionRow],
    cluster: SimulatedCluster,
    scale: float,
) -> None:
    """Write the CSV file that the extender reads: our and the oracle's latency of each pair."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("device", "model", "latency_s", "low_s", "high_s"))
        for column, (model, name) in enumerate(names.models.items()):
            row = predicted[model]
            for place, node in enumerate(names.nodes):
                spans = (row.latency_s[place], row.low_s[place], row.high_s[place])
                true_s = cluster.latency_s[place, column]
                writer.writerow((node, OURS.prefix + name, *(scale * seconds for seconds in spans)))
                writer.writerow((node, ORACLE.prefix + name, *(scale * true_s,) * 3))


def latencies(
    names: ObjectNames, cluster: SimulatedCluster, scale: float
) -> dict[tuple[str, str], float]:
    """Seconds of an emulated inference by (node, model)."""
    return {
        (node, name): scale * float(cluster.latency_s[place, column])
        for place, node in enumerate(names.nodes)
        for column, name in enumerate(names.models.values())
    }
