"""Runtimes that can run a model; each is imported only when it is requested."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from acesniper.domain.errors import InvalidInput

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Settings of a runtime: threads inside one operator, graph optimisation, precision.

    `precision` is "f32", or "bf16" if the runtime and the processor support it.
    """

    threads: int = 1
    optimise: bool = True
    precision: str = "f32"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a loaded model, with a shape of known sizes."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class Session(Protocol):
    """A loaded model."""

    inputs: Sequence[Input]

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Outputs by name, once the computation has finished."""
        ...


class Runtime(Protocol):
    """Loads models. `load` raises InvalidModel (Unloadable) for one that it cannot load."""

    name: str
    version: str
    provider: str

    def load(self, model: bytes, options: RuntimeOptions) -> Session:
        """A session over a serialised ONNX model whose inputs are bound."""
        ...


MODULES = {
    "onnxruntime": "ort",
    "openvino": "openvino",
    "tract": "tract",
    "opencv": "opencv",
    "ncnn": "ncnn",
    "mnn": "mnn",
    "torch": "torch_eager",
    "onnxruntime-web": "ort_web",
}
"""Module in this package, by name of the runtime."""


def runtime(name: str) -> Runtime:
    """The runtime of this name. Raises InvalidInput if it is unknown or not installed."""
    if name not in MODULES:
        raise InvalidInput(f"unknown runtime {name!r}; use one of {', '.join(MODULES)}")
    try:
        module = import_module(f"acesniper.probe.runtimes.{MODULES[name]}")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"the runtime {name!r} needs the package {error.name!r}: pip install {name}"
        ) from error
    make: Callable[[], Runtime] = module.make
    return make()
