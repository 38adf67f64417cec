"""tract, a single-threaded runtime in Rust with few fusions and its own kernels."""

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import tract

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of


class TractSession:
    """A loaded model in tract."""

    def __init__(
        self, runnable: tract.Runnable, inputs: Sequence[Input], outputs: Sequence[str]
    ) -> None:
        self._runnable = runnable
        self._outputs = outputs
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once."""
        results = self._runnable.run([feeds[model_input.name] for model_input in self.inputs])
        return {
            name: result.to_numpy() for name, result in zip(self._outputs, results, strict=True)
        }


class Tract:
    """tract on one core; threads, precision and optimisation are fixed."""

    name = "tract"
    version = version("tract")
    provider = "tract"

    def load(self, model: bytes, options: RuntimeOptions) -> TractSession:
        """Load through a temporary file: tract reads models from files only."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(model)
            try:
                runnable = tract.onnx().load(str(path)).into_model().into_runnable()
            except tract.TractError as error:
                first = str(error).strip().splitlines()[0]
                raise InvalidModel("Unloadable", f"tract cannot load it: {first}") from error
        parsed = onnx.load_from_string(model)
        return TractSession(
            runnable, inputs_of(parsed), [output.name for output in parsed.graph.output]
        )


def make() -> Runtime:
    """The runtime; imports fail if its package is missing."""
    return Tract()
