"""Write what each probe asks for, so that the predictor need not build the suite.

`python -m acesniper.probe.workloads [PROFILE...]` reads every probe graph with the product's own
graph reader and, from probed platforms, takes the usual time of each probe relative to the others;
without profiles these times stay as they are.
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

    Read from the form with the newest operators: what an old set spells out is one operator's work.
    """
    values = features(name, folder).values
    return {
        kind: {each: values[f"{kind}.{each}"] for each in MEASURES}
        for kind in CLASSES
        if values[f"{kind}.nodes"] > 0
    }


def features(name: str, folder: Path) -> ModelFeatures:
    """What the graph reader says of a probe."""
    path = folder / f"{name}.onnx"
    path.write_bytes(PROBES[name].build(OPSET).SerializeToString())
    return read_model(path)


def references() -> dict[str, dict[str, object]]:
    """The whole networks of the suite as models: every probed device has run them."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: library_entry(features(name, Path(folder))) for name in REFERENCES}


def workloads() -> dict[str, Workload]:
    """The workload of every probe; the copy of memory is an elementwise operation."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: workload(name, Path(folder)) for name in PROBES}
    copy = {"elementwise": {"flops": 0.0, "bytes": float(MEMORY_BYTES), "nodes": 1.0}}
    return {**found, MEMORY: copy}


def mean_outputs() -> dict[str, float]:
    """The mean of what each probe computes, in onnxruntime: how a wrong kernel is found out."""
    return {name: float(f"{mean_output(each):.4g}") for name, each in PROBES.items()}


def mean_output(each: Probe) -> float:
    """The mean of a probe's only output for the usual input."""
    session = runtime("onnxruntime").load(each.build().SerializeToString(), RuntimeOptions())
    (values,) = session.run(random_feeds(session.inputs)).values()
    return float(np.mean(values, dtype=np.float64))


def typical_s(vectors: Sequence[HardwareVector]) -> dict[str, float]:
    """The geometric mean of each probe over platforms, in seconds."""
    names = [*PROBES, MEMORY]
    return {
        name: float(f"{np.exp(np.mean(np.log(_seconds(vectors, name)))):.4g}") for name in names
    }


def _seconds(vectors: Sequence[HardwareVector], name: str) -> list[float]:
    return [each.readings[name].seconds for each in vectors if name in each.readings]


def main() -> None:
    """Write `workloads.json` and `references.json` into the predictor."""
    home = Path(str(files("acesniper.predictor")))
    target = home / "workloads.json"
    vectors = [read_profile(Path(each)).vector for each in sys.argv[1:]]
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
