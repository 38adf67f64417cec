"""Probe readings of devices as a complete matrix, and the suite of probes behind them.

`known_suite` says what each probe computes, in operator classes. `probe_matrix` arranges the
readings of devices in its order: a missing probe takes the value that related probes imply, and so
does one that contradicts them by more than a factor of five, because a wrong probe is worse than
none. A device with too few readings stays unknown.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import VersionMismatch
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import CLASSES, FEATURES_VERSION, MEASURES

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
            array[i, CLASSES.index(name)] = [measures[measure] for measure in MEASURES]
    return Suite(
        name=content["suite"],
        version=content["suite_version"],
        features_version=content["features_version"],
        probes=tuple(work),
        work=array,
        typical_s=np.asarray([content["typical_s"][probe] for probe in work]),
        mean_output=content["mean_output"],
    )


MIN_READINGS = 4
"""With fewer usable readings a device is unknown."""

MAX_LOG_DEPARTURE = np.log(5.0)
"""A probe that departs by more than this factor from what its relatives imply is discarded, and
takes what they imply. Real kernels were up to 4 times off their relatives, wrong probes 20."""

MIN_NET_SHARE = 0.05
"""A probe net of the fixed cost of a run keeps at least this share of its time."""

PROBE_FAMILIES = (
    (
        "stem",
        "conv_wide_16",
        "conv_wide_64",
        "conv_deep_128",
        "conv_deep_512",
        "conv1d",
        "net_resnet",
        "net_inception",
        "net_yolo",
        "net_unet",
    ),
    ("conv1x1_wide", "conv1x1_deep", "grouped", "net_densenet", "net_shufflenet", "net_mobilenet"),
    ("depthwise_wide", "depthwise_deep", "net_mobilenet", "net_efficientnet"),
    ("matmul", "gemm", "fused", "attention", "net_bert", "net_vit", "net_mixer"),
    ("recurrent", "net_tagger"),
    ("gemv", "gemv_cold", "memory"),
    ("elementwise", "norm", "softmax", "pool", "movement"),
)
"""Probes that imply one another first; beyond them, all others do. Whole networks stand among them:
a chain that they contradict was run in a way that no network is."""


@dataclass(frozen=True, slots=True)
class ProbeMatrix:
    """Seconds of each probe net of the fixed cost of a run, shape (devices, probes).

    `implied` marks those that relatives filled in; rows of unknown devices are NaN. `run_s` is the
    fixed cost of a run and `node_s` of a node, shape (devices,).
    """

    net_s: np.ndarray
    implied: np.ndarray
    run_s: np.ndarray
    node_s: np.ndarray


def probe_matrix(devices: Sequence[HardwareVector], suite: Suite) -> ProbeMatrix:
    """The readings of devices whose vectors are of this suite and version; NaN for others."""
    raw = np.full((len(devices), len(suite.probes)), np.nan)
    for row, device in zip(raw, devices, strict=True):
        if (device.suite, device.version) != (suite.name, suite.version):
            continue
        for i, probe in enumerate(suite.probes):
            reading = device.readings.get(probe)
            if reading is not None and np.isfinite(reading.seconds) and reading.seconds > 0:
                row[i] = reading.seconds
    return fill_gaps(raw, suite)


def fill_gaps(raw: np.ndarray, suite: Suite) -> ProbeMatrix:
    """Net, filled and clipped readings from raw seconds of shape (devices, probes)."""
    run_s = np.nan_to_num(raw[:, suite.index(NULL)], nan=0.0)
    net = np.maximum(raw - run_s[:, None], MIN_NET_SHARE * raw)
    dispatch = net[:, suite.index(DISPATCH)]
    nodes = suite.work[suite.index(DISPATCH), :, 2].sum()
    node_s = np.nan_to_num(dispatch / nodes, nan=0.0)
    excess = np.log(net / suite.typical_s)
    expected = _expected(excess, suite)
    implied = np.isnan(excess) | (np.abs(excess - expected) > MAX_LOG_DEPARTURE)
    excess = np.where(implied, expected, excess)
    usable = (~np.isnan(raw)).sum(axis=1) >= MIN_READINGS
    return ProbeMatrix(
        net_s=np.where(usable[:, None], np.exp(excess) * suite.typical_s, np.nan),
        implied=implied,
        run_s=run_s,
        node_s=node_s,
    )


def _expected(excess: np.ndarray, suite: Suite) -> np.ndarray:
    """What the others imply for each probe, as log of the ratio to its typical time."""
    expected = np.empty_like(excess)
    for i, probe in enumerate(suite.probes):
        family = next((members for members in PROBE_FAMILIES if probe in members), ())
        kin = [suite.index(relative) for relative in family if relative != probe]
        others = [j for j in range(len(suite.probes)) if j != i and suite.probes[j] != NULL]
        near, far = row_median(excess[:, kin]), row_median(excess[:, others])
        expected[:, i] = np.where(np.isnan(near), far, near)
    return expected


def row_median(values: np.ndarray) -> np.ndarray:
    """The median of each row's numbers, NaN for one without; numpy's own loads 9 MiB of modules."""
    padded = np.hstack([np.sort(values, axis=1), np.full((len(values), 1), np.nan)])  # NaN last
    count = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    low, high = padded[rows, (count - 1) // 2], padded[rows, count // 2]
    return np.asarray((low + high) / 2)


def check_versions(model: ModelFeatures, device: HardwareVector, suite: Suite) -> None:
    """Raise VersionMismatch, saying what to do, unless both can be read."""
    if model.version != FEATURES_VERSION:
        raise VersionMismatch(
            f"the model's features have version {model.version!r}, this predictor reads"
            f" {FEATURES_VERSION!r}; profile the model again"
        )
    own = (suite.name, suite.version)
    if (device.suite, device.version) != own:
        raise VersionMismatch(
            f"the device was probed with {device.suite} {device.version}, this predictor"
            f" reads {' '.join(own)}; probe it again"
        )
