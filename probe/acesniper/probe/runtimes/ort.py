"""onnxruntime, the runtime of tasks."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions

ERRORS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
    states.NoSuchFile,
)
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class OrtSession:
    """A loaded model in onnxruntime."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self.inputs: Sequence[Input] = tuple(
            Input(item.name, tuple(item.shape), np.dtype(TYPES.get(item.type, np.float32)))
            for item in session.get_inputs()
        )

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once."""
        return dict(zip(self._outputs, self._session.run(None, dict(feeds)), strict=True))


class OnnxRuntime:
    """onnxruntime with its CPU provider."""

    name = "onnxruntime"
    version: str = onnxruntime.__version__
    provider = "cpu"

    def load(self, model: bytes, options: RuntimeOptions) -> OrtSession:
        """Load with denormals flushed to zero: a few of them cost more than the whole network."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
        if not options.optimise:
            level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            settings.graph_optimization_level = level
        try:
            session = onnxruntime.InferenceSession(
                model, settings, providers=["CPUExecutionProvider"]
            )
        except ERRORS as error:
            raise InvalidModel("Unloadable", f"onnxruntime cannot load it: {error}") from error
        return OrtSession(session)


def make() -> Runtime:
    """The runtime; imports fail if its package is missing."""
    return OnnxRuntime()
