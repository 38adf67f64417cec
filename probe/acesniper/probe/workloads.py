"""Generator of the workload of each probe, which the predictor reads instead of the suite.

`python -m acesniper.probe.workloads [PROFILE...]` reads every probe graph with the product's own
graph reader. With PROFILEs of probed platforms it updates the typical time of each probe relative
to the others; without them these times are kept.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.networks import library_entry
from acesniper.predictor.features import CLASSES, FEATURES_VERSION, MEASURES
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.probe.feeds import random_feeds
from acesniper.probe.graph_builder import OPSET
from acesniper.probe.profiles import read_profile
from acesniper.probe.reference_networks import REFERENCES
from acesniper.probe.runtimes import RuntimeOptions, runtime
from acesniper.probe.suite import MEMORY, MEMORY_BYTES, PROBES, SUITE, VERSION, Probe

Workload = Mapping[str, Mapping[str, float]]


def workload(name: str, folder: Path) -> Workload:
    """Per operator class of one probe: FLOPs, bytes and nodes.

    Read from the form with the newest operators, which old operator sets decompose.
    """
    values = features(name, folder).values
    return {
        kind: {measure: values[f"{kind}.{measure}"] for measure in MEASURES}
        for kind in CLASSES
        if values[f"{kind}.nodes"] > 0
    }


def features(name: str, folder: Path) -> ModelFeatures:
    """Features of a probe graph."""
    path = folder / f"{name}.onnx"
    path.write_bytes(PROBES[name].build(OPSET).SerializeToString())
    return read_model(path)


def references() -> dict[str, dict[str, object]]:
    """Features of the suite's reference networks, which every probed device has run."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: library_entry(features(name, Path(folder))) for name in REFERENCES}


def workloads() -> dict[str, Workload]:
    """Workload of every probe; the memory copy counts as an elementwise operator."""
    with tempfile.TemporaryDirectory() as folder:
        by_probe = {name: workload(name, Path(folder)) for name in PROBES}
    copy = {"elementwise": {"flops": 0.0, "bytes": float(MEMORY_BYTES), "nodes": 1.0}}
    return {**by_probe, MEMORY: copy}


def mean_outputs() -> dict[str, float]:
    """Mean output of each probe in onnxruntime, to detect kernels that compute wrongly."""
    return {name: float(f"{mean_output(probe):.4g}") for name, probe in PROBES.items()}


def mean_output(probe: Probe) -> float:
    """Mean of a probe's only output for the default input."""
    session = runtime("onnxruntime").load(probe.build().SerializeToString(), RuntimeOptions())
    (values,) = session.run(random_feeds(session.inputs)).values()
    return float(np.mean(values, dtype=np.float64))


def typical_s(vectors: Sequence[HardwareVector]) -> dict[str, float]:
    """Geometric mean over platforms of each probe, in seconds."""
    names = [*PROBES, MEMORY]
    return {
        name: float(f"{np.exp(np.mean(np.log(_seconds(vectors, name)))):.4g}") for name in names
    }


def _seconds(vectors: Sequence[HardwareVector], name: str) -> list[float]:
    return [vector.readings[name].seconds for vector in vectors if name in vector.readings]


def main() -> None:
    """Write `workloads.json` and `references.json` into the predictor."""
    home = Path(str(files("acesniper.predictor")))
    target = home / "workloads.json"
    vectors = [read_profile(Path(path)).vector for path in sys.argv[1:]]
    content = {
        "suite": SUITE,
        "suite_version": VERSION,
        "features_version": FEATURES_VERSION,
        "typical_s": typical_s(vectors) if vectors else json.loads(target.read_text())["typical_s"],
        "mean_output": mean_outputs(),
        "workloads": workloads(),
    }
    target.write_text(json.dumps(content, indent=1) + "\n")
    networks = {"features_version": FEATURES_VERSION, "networks": references()}
    (home / "references.json").write_text(json.dumps(networks, indent=1) + "\n")


if __name__ == "__main__":
    main()
