"""The exported network: an ONNX file with its inputs, outputs and metadata.

One ONNX graph in 32-bit floats. Its inputs are the unscaled arrays of `inputs` for models (M) and
devices (D), and for the models observed on them (O); scales and training data are inside. Its
outputs are the fields of `NetworkOutput`.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from acesniper.domain.errors import ModelMismatch
from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION
from acesniper.predictor.pcn.conformal import Calibration
from acesniper.predictor.pcn.inputs import PAIRS, DeviceInputs, ModelInputs
from acesniper.predictor.probe_matrix import Suite

FILE_FORMAT = "2"

MODEL_INPUTS = ("work", "size", "shares", "spread", "sizes")
DEVICE_INPUTS = ("seconds", "shape")
OBSERVED_INPUTS = ("size", "shares", "spread", "sizes")
NETWORK_INPUTS = (*MODEL_INPUTS, *DEVICE_INPUTS, *(f"seen_{name}" for name in OBSERVED_INPUTS))


class NetworkOutput(NamedTuple):
    """The outputs: a prediction taken apart, as `network.Parts`, and how mistakes go together.

    `corrected` (M, T): how often each term's probe, after the learned corrections; `covariance`
    (M, O) of mistakes on one device, and each model's own `variance` (M,).
    """

    physics: np.ndarray
    similarity: np.ndarray
    residual: np.ndarray
    gate: np.ndarray
    model: np.ndarray
    device: np.ndarray
    corrected: np.ndarray
    covariance: np.ndarray
    variance: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The prediction before anything is observed, log seconds (M, D)."""
        return np.asarray(self.physics + self.gate * (self.similarity + self.residual))


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFile:
    """A loaded file: its graph, and its metadata as objects.

    `references` are the suite's own networks; `noise` is the variance of one observation.
    """

    session: onnxruntime.InferenceSession
    references: ModelInputs
    noise: float
    calibration: Calibration
    provenance: dict[str, Any]

    @classmethod
    def load(cls, source: Path | bytes, suite: Suite) -> "NetworkFile":
        """Read a file, or its content; ModelMismatch if it is not for this code and suite."""
        session = _session(source)
        found = session.get_modelmeta().custom_metadata_map
        for name, own in file_versions(suite).items():
            if found.get(name) != own:
                raise ModelMismatch(
                    f"the network's file has {name} {found.get(name)!r}, this program reads {own!r}"
                )
        try:
            arrays = json.loads(found["references"])
            references = ModelInputs(
                *(np.asarray(arrays[name], np.float32) for name in MODEL_INPUTS)
            )
            calibration = Calibration.read(json.loads(found["calibration"]))
            provenance = json.loads(found["provenance"])
            return cls(session, references, float(found["noise"]), calibration, provenance)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelMismatch(f"the network's file is damaged: {error!r}") from error

    def run(self, models: ModelInputs, devices: DeviceInputs, seen: ModelInputs) -> NetworkOutput:
        """All models on all devices at once."""
        feeds = {name: getattr(models, name) for name in MODEL_INPUTS}
        feeds |= {name: getattr(devices, name) for name in DEVICE_INPUTS}
        feeds |= {f"seen_{name}": getattr(seen, name) for name in OBSERVED_INPUTS}
        single = {name: np.ascontiguousarray(array, np.float32) for name, array in feeds.items()}
        return NetworkOutput(*self.session.run(list(NetworkOutput._fields), single))


def file_versions(suite: Suite) -> dict[str, str]:
    """The metadata that must be equal between a file and the code that reads it."""
    order = json.dumps([FEATURE_NAMES, PAIRS, suite.probes])
    return {
        "format": FILE_FORMAT,
        "features_version": FEATURES_VERSION,
        "suite": suite.name,
        "suite_version": suite.version,
        "order": hashlib.sha256(order.encode()).hexdigest(),
    }


def _session(source: Path | bytes) -> onnxruntime.InferenceSession:
    """One thread, and memory freed after each run, as other work runs in the same process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    content = source if isinstance(source, bytes) else str(source)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own are not one tree
        raise ModelMismatch(f"the network's file cannot be read: {error}") from error
