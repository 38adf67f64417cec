"""PyTorch run operator by operator, over the module that onnx2torch makes of the graph."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx2torch
import torch

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of, with_initializers


class TorchSession:
    """A module with its inputs in order."""

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Sequence[Input],
        outputs: Sequence[str],
        *,
        onednn: bool,
    ) -> None:
        self._module = module
        self._outputs = outputs
        self._onednn = onednn
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once. Raises InvalidModel where an operator turns out to be unsupported only now."""
        given = [torch.from_numpy(feeds[each.name]) for each in self.inputs]
        try:
            with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=self._onednn):
                found = self._module(*given)
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError) as error:
            raise InvalidModel("Unloadable", f"torch cannot run it: {str(error)[:200]}") from error
        results = found if isinstance(found, (tuple, list)) else [found]
        return {name: each.numpy() for name, each in zip(self._outputs, results, strict=True)}


class Torch:
    """PyTorch on the CPU; without optimisation its own kernels stand in for oneDNN's."""

    name = "torch"
    version: str = torch.__version__.split("+")[0]
    provider = "torch"

    def load(self, model: bytes, options: RuntimeOptions) -> TorchSession:
        """Convert node by node; torch fuses nothing."""
        torch.set_num_threads(options.threads)
        torch.set_flush_denormal(True)
        plain = with_initializers(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = onnx2torch.convert(plain).eval()
        except Exception as error:  # the converter raises whatever its parts raise
            raise InvalidModel("Unloadable", f"torch cannot load it: {str(error)[:200]}") from error
        outputs = [each.name for each in plain.graph.output]
        return TorchSession(module, inputs_of(plain), outputs, onednn=options.optimise)


def make() -> Runtime:
    """The runtime, once its packages are there."""
    return Torch()
