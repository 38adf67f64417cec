"""What the probes of the HRM suite ask for, in the classes of the graph reader."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from acesniper.predictor.features import CLASSES, MEASURES

MEMORY = "memory"
NULL = "null"
DISPATCH = "dispatch"


@dataclass(frozen=True, slots=True)
class Suite:
    """The suite a predictor understands.

    `work` has the shape (probes, classes, 3): FLOPs, bytes and nodes; `typical_s` the usual time
    of each probe, which gives the ratio in which one probe speaks for another; `mean_output` the
    mean of what a probe computes.
    """

    name: str
    version: str
    features_version: str
    probes: tuple[str, ...]
    work: np.ndarray
    typical_s: np.ndarray
    mean_output: Mapping[str, float]

    def index(self, probe: str) -> int:
        """The position of a probe."""
        return self.probes.index(probe)


@cache
def known_suite() -> Suite:
    """The suite in `workloads.json` (written by acesniper.probe.workloads)."""
    content = json.loads((files("acesniper.predictor") / "workloads.json").read_text())
    work: Mapping[str, Mapping[str, Mapping[str, float]]] = content["workloads"]
    array = np.zeros((len(work), len(CLASSES), len(MEASURES)))
    for i, classes in enumerate(work.values()):
        for name, measures in classes.items():
            array[i, CLASSES.index(name)] = [measures[each] for each in MEASURES]
    return Suite(
        name=content["suite"],
        version=content["suite_version"],
        features_version=content["features_version"],
        probes=tuple(work),
        work=array,
        typical_s=np.asarray([content["typical_s"][probe] for probe in work]),
        mean_output=content["mean_output"],
    )
