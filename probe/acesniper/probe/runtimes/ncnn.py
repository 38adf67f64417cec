"""ncnn, a runtime for phones; pnnx turns the graph into its form."""

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

LONGEST_S = 120
"""pnnx is ended after so many seconds: on some graphs it never comes back."""


class NcnnSession:
    """A loaded network with its inputs in order."""

    def __init__(self, net: "ncnn.Net", inputs: Sequence[Input], outputs: Sequence[str]) -> None:
        self._net = net
        self._outputs = outputs
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once; ncnn knows no batch, so the first dimension is left out where it is 1."""
        with self._net.create_extractor() as extractor:
            for i, each in enumerate(self.inputs):
                # A copy of its own: a layer may write into its input.
                extractor.input(f"in{i}", ncnn.Mat(_without_batch(feeds[each.name])).clone())
            found = {}
            for i, name in enumerate(self._outputs):
                code, result = extractor.extract(f"out{i}")
                if code != 0:
                    raise InvalidModel("Unloadable", f"ncnn cannot run it: code {code}")
                found[name] = np.array(result)[None]
        return found


class Ncnn:
    """ncnn on the CPU: "bf16" stores in bfloat16; no optimisation means plain kernels."""

    name = "ncnn"
    version = version("ncnn")
    provider = "ncnn"

    def load(self, model: bytes, options: RuntimeOptions) -> NcnnSession:
        """Convert and load. A batch above 1 is refused: ncnn would drop it."""
        plain = with_initializers(model)
        inputs = inputs_of(plain)
        if any(len(each.shape) > 1 and each.shape[0] != 1 for each in inputs):
            raise InvalidModel("Unloadable", "ncnn runs a batch of 1 only")
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
                raise InvalidModel("Unloadable", "ncnn cannot load it: a layer it does not know")
            if net.load_model(str(weights)) != 0:
                raise InvalidModel("Unloadable", "ncnn cannot load its weights")
        return NcnnSession(net, inputs, [each.name for each in plain.graph.output])


def _without_batch(values: np.ndarray) -> np.ndarray:
    plain = values.astype(np.int32) if np.issubdtype(values.dtype, np.integer) else values
    return np.ascontiguousarray(plain[0] if plain.ndim > 1 else plain)


def _convert(model: onnx.ModelProto, folder: Path) -> None:
    """Write m.ncnn.param and m.ncnn.bin into the folder. Raises InvalidModel."""
    source = folder / "m.onnx"
    onnx.save(model, source)
    program = str(files("pnnx") / "pnnx")
    try:
        done = subprocess.run(
            [program, str(source), "fp16=0"],
            cwd=folder, capture_output=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InvalidModel("Unloadable", "pnnx does not come to an end") from error
    if done.returncode != 0:
        raise InvalidModel("Unloadable", f"pnnx fails with {done.returncode}")


def make() -> Runtime:
    """The runtime, once its packages are there."""
    return Ncnn()
