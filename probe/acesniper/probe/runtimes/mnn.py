"""MNN, a runtime for phones; its converter turns the graph into its form."""

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
        given = [_variable(feeds[each.name]) for each in self.inputs]
        found = self._module.forward(given)  # type: ignore[attr-defined]
        results = found if isinstance(found, list) else [found]
        if len(results) != len(self._outputs) or any(each is None for each in results):
            raise InvalidModel("Unloadable", "mnn gives no result")
        return {n: np.array(each.read()) for n, each in zip(self._outputs, results, strict=True)}


class Mnn:
    """MNN on the CPU; "bf16" is its low precision."""

    name = "mnn"
    version = version("MNN")
    provider = "mnn"

    def load(self, model: bytes, options: RuntimeOptions) -> MnnSession:
        """Convert and load."""
        plain = with_initializers(model)
        names = [each.name for each in inputs_of(plain)]
        outputs = [each.name for each in plain.graph.output]
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
    whole = np.issubdtype(values.dtype, np.integer)
    kind = MNN.expr.int if whole else MNN.expr.float
    plain = np.ascontiguousarray(values.astype(np.int32) if whole else values)
    return MNN.expr.const(plain, list(values.shape), MNN.expr.NCHW, kind)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The converter writes to the process's own output, which belongs to our tables."""
    kept = os.dup(1)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def make() -> Runtime:
    """The runtime, once its package is there."""
    return Mnn()
