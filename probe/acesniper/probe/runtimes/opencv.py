"""OpenCV's dnn module, a runtime with its own kernels."""

import os
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import onnx

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of, with_initializers


class OpenCvSession:
    """A loaded model in OpenCV."""

    def __init__(self, net: "cv2.dnn.Net", inputs: Sequence[Input], outputs: Sequence[str]) -> None:
        self._net = net
        self._outputs = outputs
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once. Raises InvalidModel if a layer proves to be unsupported at run time."""
        try:
            for name, values in feeds.items():
                self._net.setInput(values, name)
            results = self._net.forward(self._outputs)
        except cv2.error as error:
            raise InvalidModel("Unloadable", f"opencv cannot run it: {_short(error)}") from error
        return dict(zip(self._outputs, results, strict=True))


class OpenCv:
    """OpenCV's dnn on the CPU."""

    name = "opencv"
    version: str = cv2.__version__
    provider = "opencv"

    def load(self, model: bytes, options: RuntimeOptions) -> OpenCvSession:
        """Load; without optimisation, convolutions do not use Winograd's algorithm."""
        cv2.setNumThreads(options.threads)
        plain = onnx.shape_inference.infer_shapes(
            with_initializers(model)
        )  # OpenCV needs the shapes
        try:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(plain.SerializeToString(), dtype=np.uint8))
            net.enableWinograd(options.optimise)
        except cv2.error as error:
            raise InvalidModel("Unloadable", f"opencv cannot load it: {_short(error)}") from error
        return OpenCvSession(net, inputs_of(plain), [output.name for output in plain.graph.output])


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def make() -> Runtime:
    """The runtime; imports fail if its package is missing."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    return OpenCv()
