"""PyTorch in eager mode, on the module that onnx2torch converts the graph to."""

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
        """Run once. Raises InvalidModel if an operator proves to be unsupported at run time."""
        given = [torch.from_numpy(feeds[model_input.name]) for model_input in self.inputs]
        try:
            with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=self._onednn):
                outputs = self._module(*given)
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError) as error:
            raise InvalidModel("Unloadable", f"torch cannot run it: {str(error)[:200]}") from error
        results = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        return {name: result.numpy() for name, result in zip(self._outputs, results, strict=True)}


class Torch:
    """PyTorch on the CPU; without optimisation it uses its own kernels instead of oneDNN's."""

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
        except Exception as error:  # the converter raises errors of any type
            raise InvalidModel("Unloadable", f"torch cannot load it: {str(error)[:200]}") from error
        outputs = [output.name for output in plain.graph.output]
        return TorchSession(module, inputs_of(plain), outputs, onednn=options.optimise)


def make() -> Runtime:
    """The runtime; imports fail if a package is missing."""
    return Torch()
