"""OpenVINO's CPU plugin. ONEDNN_MAX_CPU_ISA in the environment limits its instruction set."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import openvino

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of


class VinoSession:
    """A loaded model in OpenVINO."""

    def __init__(self, compiled: openvino.CompiledModel, inputs: Sequence[Input]) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = [output.get_any_name() for output in compiled.outputs]
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once."""
        results = self._request.infer([feeds[model_input.name] for model_input in self.inputs])
        return {name: results[i] for i, name in enumerate(self._outputs)}


class OpenVino:
    """OpenVINO on the CPU."""

    name = "openvino"
    version: str = openvino.__version__.split("-")[0]
    provider = "openvino"

    def load(self, model: bytes, options: RuntimeOptions) -> VinoSession:
        """Load for the lowest latency of one request."""
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": options.threads,
            "INFERENCE_PRECISION_HINT": options.precision,
            "NUM_STREAMS": 1,
        }
        try:
            compiled = core.compile_model(core.read_model(model), "CPU", settings)
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise InvalidModel("Unloadable", f"openvino cannot load it: {last}") from error
        return VinoSession(compiled, inputs_of(onnx.load_from_string(model)))


def make() -> Runtime:
    """The runtime; imports fail if its package is missing."""
    return OpenVino()
