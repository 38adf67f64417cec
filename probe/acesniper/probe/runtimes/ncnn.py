"""ncnn, a runtime for phones; pnnx converts the graph."""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import ncnn
import numpy as np
import onnx

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of, with_initializers

CONVERSION_TIMEOUT_S = 120
"""Time limit for pnnx, which never terminates on some graphs."""


class NcnnSession:
    """A loaded network with its inputs in order."""

    def __init__(self, net: "ncnn.Net", inputs: Sequence[Input], outputs: Sequence[str]) -> None:
        self._net = net
        self._outputs = outputs
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once; ncnn has no batch dimension, so a first dimension of 1 is dropped."""
        with self._net.create_extractor() as extractor:
            for i, model_input in enumerate(self.inputs):
                # A copy, because a layer may write into its input.
                extractor.input(f"in{i}", ncnn.Mat(_without_batch(feeds[model_input.name])).clone())
            outputs = {}
            for i, name in enumerate(self._outputs):
                code, result = extractor.extract(f"out{i}")
                if code != 0:
                    raise InvalidModel("Unloadable", f"ncnn cannot run it: code {code}")
                outputs[name] = np.array(result)[None]
        return outputs


class Ncnn:
    """ncnn on the CPU; "bf16" stores in bfloat16, and no optimisation means plain kernels."""

    name = "ncnn"
    version = version("ncnn")
    provider = "ncnn"

    def load(self, model: bytes, options: RuntimeOptions) -> NcnnSession:
        """Convert and load. Raises InvalidModel for a batch above 1, which ncnn would drop."""
        plain = with_initializers(model)
        inputs = inputs_of(plain)
        if any(len(item.shape) > 1 and item.shape[0] != 1 for item in inputs):
            raise InvalidModel("Unloadable", "ncnn supports a batch of 1 only")
        net = ncnn.Net()
        net.opt.num_threads = options.threads
        net.opt.use_bf16_storage = options.precision == "bf16"
        for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic"):
            setattr(net.opt, f"use_{name}", False)
        for name in ("winograd_convolution", "sgemm_convolution", "packing_layout"):
            setattr(net.opt, f"use_{name}", options.optimise)
        with tempfile.TemporaryDirectory() as folder:
            _convert(plain, Path(folder))
            parameters, weights = (Path(folder) / f"m.ncnn.{kind}" for kind in ("param", "bin"))
            if not parameters.exists() or net.load_param(str(parameters)) != 0:
                raise InvalidModel("Unloadable", "ncnn cannot load it: unsupported layer")
            if net.load_model(str(weights)) != 0:
                raise InvalidModel("Unloadable", "ncnn cannot load its weights")
        return NcnnSession(net, inputs, [output.name for output in plain.graph.output])


def _without_batch(values: np.ndarray) -> np.ndarray:
    plain = values.astype(np.int32) if np.issubdtype(values.dtype, np.integer) else values
    return np.ascontiguousarray(plain[0] if plain.ndim > 1 else plain)


def _convert(model: onnx.ModelProto, folder: Path) -> None:
    """Write m.ncnn.param and m.ncnn.bin into the folder. Raises InvalidModel."""
    source = folder / "m.onnx"
    onnx.save(model, source)
    program = str(files("pnnx") / "pnnx")
    try:
        process = subprocess.run(
            [program, str(source), "fp16=0"],
            cwd=folder, capture_output=True, timeout=CONVERSION_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InvalidModel(
            "Unloadable", f"pnnx did not finish within {CONVERSION_TIMEOUT_S} s"
        ) from error
    if process.returncode != 0:
        raise InvalidModel("Unloadable", f"pnnx failed with exit code {process.returncode}")


def make() -> Runtime:
    """The runtime; imports fail if a package is missing."""
    return Ncnn()
