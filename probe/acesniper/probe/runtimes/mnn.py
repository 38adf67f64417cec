"""MNN, a runtime for phones, with its own converter."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import _tools as converter  # the converter itself: MNN.tools would install packages when imported
import MNN.expr
import MNN.nn
import numpy as np
import onnx

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of, with_initializers

PRECISIONS = {"f32": "high", "bf16": "low"}


class MnnSession:
    """A loaded module; its inputs are made once and written before each run."""

    def __init__(self, module: object, inputs: Sequence[Input], outputs: Sequence[str]) -> None:
        self._module = module
        self._outputs = outputs
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once. Reading an output waits for it."""
        given = [_variable(feeds[model_input.name]) for model_input in self.inputs]
        outputs = self._module.forward(given)  # type: ignore[attr-defined]
        results = outputs if isinstance(outputs, list) else [outputs]
        if len(results) != len(self._outputs) or any(result is None for result in results):
            raise InvalidModel("Unloadable", "mnn returns no result")
        return {
            n: np.array(result.read()) for n, result in zip(self._outputs, results, strict=True)
        }


class Mnn:
    """MNN on the CPU; "bf16" is its low precision."""

    name = "mnn"
    version = version("MNN")
    provider = "mnn"

    def load(self, model: bytes, options: RuntimeOptions) -> MnnSession:
        """Convert and load."""
        plain = with_initializers(model)
        names = [model_input.name for model_input in inputs_of(plain)]
        outputs = [output.name for output in plain.graph.output]
        settings = {
            "backend": "CPU",
            "numThread": options.threads,
            "precision": PRECISIONS.get(options.precision, "high"),
        }
        manager = MNN.nn.create_runtime_manager((settings,))
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _silent():
            source, target = Path(folder) / "m.onnx", Path(folder) / "m.mnn"
            onnx.save(plain, source)
            files = ["--modelFile", str(source), "--MNNModel", str(target)]
            converter.mnnconvert(["MNNConvert", "-f", "ONNX", *files, "--bizCode", "acesniper"])
            if not target.exists():
                raise InvalidModel("Unloadable", "mnn cannot convert it")
            module = MNN.nn.load_module_from_file(
                str(target), names, outputs, runtime_manager=manager
            )
        return MnnSession(module, inputs_of(plain), outputs)


def _variable(values: np.ndarray) -> object:
    is_integer = np.issubdtype(values.dtype, np.integer)
    kind = MNN.expr.int if is_integer else MNN.expr.float
    plain = np.ascontiguousarray(values.astype(np.int32) if is_integer else values)
    return MNN.expr.const(plain, list(values.shape), MNN.expr.NCHW, kind)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silence standard output: the converter writes to it, and so does the table."""
    original = os.dup(1)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(original, 1)
            os.close(original)


def make() -> Runtime:
    """The runtime; imports fail if its package is missing."""
    return Mnn()
