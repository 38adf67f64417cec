"""Export a trained network as one ONNX file, after comparing both on the training data.

The file needs neither torch nor the atlas: the measured latencies are inside the graph.
"""

import copy
import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from acesniper.domain.errors import ModelMismatch
from acesniper.predictor.pcn.conformal import Calibration
from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.inputs import DeviceInputs, ModelInputs, Scales
from acesniper.predictor.pcn.model import DeviceTensors, ModelTensors, Network, NetworkMemory
from acesniper.predictor.pcn.network_file import (
    DEVICE_INPUTS,
    MODEL_INPUTS,
    NETWORK_INPUTS,
    OBSERVED_INPUTS,
    NetworkFile,
    NetworkOutput,
    file_versions,
)
from acesniper.predictor.probe_matrix import Suite

TOLERANCE = 1e-4
"""How far torch and ONNX may be apart, log seconds (and for covariances, absolute)."""

COMPARED = ("physics", "gate", "model", "device", "covariance", "variance")

OPSET = 17


class ServingGraph(nn.Module):
    """The network with its memory and scales inside: INPUTS in, the fields of Answer out."""

    def __init__(self, network: Network, memory: NetworkMemory, by: Scales) -> None:
        super().__init__()
        self.network = network
        self.memory = memory
        self.mean = torch.tensor(by.sizes_mean)
        self.scale = torch.tensor(by.sizes_scale)
        self.shape_scale = by.shape_scale

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """All that serving needs."""
        named = dict(zip(NETWORK_INPUTS, inputs, strict=True))
        models = ModelTensors(*(self._scaled(name, named[name]) for name in MODEL_INPUTS))
        size, shares, spread, sizes = (
            self._scaled(name, named[f"seen_{name}"]) for name in OBSERVED_INPUTS
        )
        work = torch.full_like(shares, torch.nan)  # no kernel looks at it
        seen = ModelTensors(work, size, shares, spread, sizes)
        shape, usual = named["shape"] / self.shape_scale, torch.zeros_like(named["seconds"])
        devices = DeviceTensors(
            named["seconds"], shape, usual
        )  # serving widens intervals by itself
        parts = self.network(models, devices, self.memory)
        observed, corrected = self.network.observed, self.network.physics.corrected(models)
        return (*parts, corrected, observed(models, seen), observed.own(models))

    def _scaled(self, name: str, values: Tensor) -> Tensor:
        if name != "sizes":
            return values
        return (values - self.mean.to(values)) / self.scale.to(values)


@dataclass(frozen=True, slots=True)
class ExportSample:
    """What a network is exported and compared on: the dataset's own models and devices."""

    models: ModelInputs
    devices: DeviceInputs
    seen: ModelInputs

    def tensors(self, kind: torch.dtype) -> tuple[Tensor, ...]:
        """In the order of INPUTS."""
        arrays = [getattr(self.models, name) for name in MODEL_INPUTS]
        arrays += [getattr(self.devices, name) for name in DEVICE_INPUTS]
        arrays += [getattr(self.seen, name) for name in OBSERVED_INPUTS]
        return tuple(torch.tensor(array, dtype=kind) for array in arrays)


def export(
    network: Network,
    data: AtlasDataset,
    target: Path,
    suite: Suite,
    calibration: Calibration,
    provenance: Mapping[str, object],
) -> None:
    """Write `network`, which remembers `data`; ModelMismatch, and no file, if ONNX differs.

    `provenance` says how it was trained (seed, date); sizes and torch's version are added.
    """
    with torch.no_grad():
        memory = network.remember(data.known())
    references = data.models.take(np.flatnonzero(data.reference))
    sample = ExportSample(data.models, data.devices, references)
    content = _graph(network, memory, data.scales, sample)
    content = _with_metadata(
        content,
        {
            **file_versions(suite),
            "references": json.dumps({n: getattr(references, n).tolist() for n in MODEL_INPUTS}),
            "noise": repr(float(network.observed.noise.detach().exp())),
            "calibration": json.dumps(calibration.record()),
            "provenance": json.dumps(
                {
                    **provenance,
                    "networks": len(data.names),
                    "platforms": len(data.platforms),
                    "torch": torch.__version__,
                }
            ),
        },
    )
    ensure_equal(
        ServingGraph(network, memory, data.scales), NetworkFile.load(content, suite), sample
    )
    _write(target, content)


def ensure_equal(served: ServingGraph, exported: NetworkFile, sample: ExportSample) -> None:
    """Raise ModelMismatch unless both say the same of the sample."""
    with torch.no_grad():
        wanted = NetworkOutput(
            *(output.numpy() for output in served(*sample.tensors(torch.float64)))
        )
    found = exported.run(sample.models, sample.devices, sample.seen)
    pairs = {"prediction": (wanted.mean, found.mean)}
    pairs |= {name: (getattr(wanted, name), getattr(found, name)) for name in COMPARED}
    for name, (one, other) in pairs.items():
        apart = float(np.max(np.abs(one - other), initial=0.0))
        if not apart <= TOLERANCE:
            raise ModelMismatch(f"torch and ONNX differ by {apart:.2g} in {name}; nothing written")


def _graph(network: Network, memory: NetworkMemory, by: Scales, sample: ExportSample) -> bytes:
    single = copy.deepcopy(network).float().eval()
    small = NetworkMemory(
        ModelTensors(*(tensor.float() for tensor in memory.models)),
        DeviceTensors(*(tensor.float() for tensor in memory.devices)),
        memory.inverse_models.float(),
        memory.inverse_devices.float(),
        memory.missed.float(),
    )
    rows = dict.fromkeys(MODEL_INPUTS, "models") | dict.fromkeys(DEVICE_INPUTS, "devices")
    rows |= {f"seen_{name}": "observed" for name in OBSERVED_INPUTS}
    axes = {name: {0: row} for name, row in rows.items()}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The newer exporter needs another library for the same graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        file = Path(folder) / "graph.onnx"
        torch.onnx.export(
            ServingGraph(single, small, by),
            sample.tensors(torch.float32),
            file,
            input_names=list(NETWORK_INPUTS),
            output_names=list(NetworkOutput._fields),
            dynamic_axes=axes | _outputs(),
            opset_version=OPSET,
            dynamo=False,
        )
        return file.read_bytes()


def _outputs() -> dict[str, dict[int, str]]:
    """The dynamic axes of the outputs."""
    names = ("physics", "similarity", "residual", "gate")
    pairs = {name: {0: "models", 1: "devices"} for name in names}
    single = {name: {0: "models"} for name in ("model", "corrected", "variance")}
    return pairs | single | {"device": {0: "devices"}, "covariance": {0: "models", 1: "observed"}}


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    graph = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(graph, dict(metadata))
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def _write(target: Path, content: bytes) -> None:
    """Whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)
