"""The runtimes a model can run in, each imported only when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from acesniper.domain.errors import InvalidInput

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a runtime is to run: threads inside one operator, graph optimisation, precision.

    `precision` is "f32", or "bf16" where the runtime and the processor have it.
    """

    threads: int = 1
    optimise: bool = True
    precision: str = "f32"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a loaded model; its shape is fully known."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class Session(Protocol):
    """A loaded model."""

    inputs: Sequence[Input]

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """The outputs by name, after the work is really done."""
        ...


class Runtime(Protocol):
    """Loads models. Raises InvalidModel (Unloadable) for one it cannot load."""

    name: str
    version: str
    provider: str

    def load(self, model: bytes, options: RuntimeOptions) -> Session:
        """A session over a serialised ONNX model whose inputs are bound."""
        ...


MODULES = {
    "onnxruntime": "ort",
    "openvino": "vino",
    "tract": "sonos",
    "opencv": "opencv",
    "ncnn": "tencent",
    "mnn": "alibaba",
    "torch": "torch_eager",
    "onnxruntime-web": "web",
}
"""Where the name differs from the module's: a module must not be named like what it imports."""


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises InvalidInput when unknown or not installed."""
    if name not in MODULES:
        raise InvalidInput(f"there is no runtime {name!r}; choose one of {', '.join(MODULES)}")
    try:
        module = import_module(f"acesniper.probe.runtimes.{MODULES[name]}")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"the runtime {name!r} needs the package {error.name!r}: pip install {name}"
        ) from error
    make: Callable[[], Runtime] = module.make
    return make()
