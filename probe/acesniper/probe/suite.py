"""The HRM suite: small graphs and transfers that together characterise a platform.

A chain represents one class of operators at one typical shape, a reference network a family. The
graphs use operator set 13, so that every runtime can load them. The transfers measure how fast data
is copied in memory, loaded into the runtime as a model, and read from a file. A change of a graph,
or of the meaning of a reading, needs a new VERSION: readings of two versions are not comparable.
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto, numpy_helper

from acesniper.domain.device import Reading
from acesniper.probe import SUITE as SUITE
from acesniper.probe import VERSION as VERSION
from acesniper.probe.graph_builder import GraphBuilder
from acesniper.probe.measure import TimedCall, reading_of
from acesniper.probe.reference_networks import REFERENCES, Layers
from acesniper.probe.runtimes import Runtime, RuntimeOptions

SENTINEL = "conv_wide_16"
"""Run between rounds; a change means that another process was running."""
MEMORY, LOAD, FILE_READ = "memory", "load", "file_read"
"""Probes that are not graphs: copying a large array, loading a model, reading a file."""
MEMORY_BYTES = 128 << 20
"""Bytes that one run reads and writes; larger than the caches of edge devices."""
LOAD_BYTES = 16 << 20
"""Weights of the model that is loaded; its few nodes cost little in comparison."""
FILE_BYTES = 8 << 20
"""Size of the file; writing it is not timed, but should not take long on a slow card."""
TRANSFERS = {MEMORY: MEMORY_BYTES, LOAD: LOAD_BYTES, FILE_READ: FILE_BYTES}
HEAVY = ("conv_wide_64", "matmul", "gemv_cold", "net_resnet", MEMORY)
"""Probes repeated under load: bound by arithmetic, by memory, or by both."""
PLAIN_OPSET = 13
"""Operator set that every runtime supports; some lack operators of newer ones."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe graph: layers over one float input of shape (batch, *dims)."""

    name: str
    dims: tuple[int, ...]
    layers: Layers
    batch: int = 1

    def build(self, opset: int = PLAIN_OPSET) -> ModelProto:
        """The probe as an ONNX model.

        A newer operator set has single operators for what an old one decomposes; the graph reader
        counts the work of a probe in that form.
        """
        b = GraphBuilder(self.name, opset=opset)
        return b.build(self.layers(b, b.input("x", *self.dims, batch=self.batch)))


def chain(times: int, layer: Layers) -> Layers:
    """A layer applied several times, so that the fixed cost of a run is negligible."""

    def layers(b: GraphBuilder, x: str) -> str:
        for _ in range(times):
            x = layer(b, x)
        return x

    return layers


def conv(channels: int, kernel: int = 3, **options: int) -> Layers:
    """A convolution with a Relu."""
    return lambda b, x: b.conv(x, channels, kernel, act="Relu", **options)


def pointwise(wide: int, narrow: int) -> Layers:
    """1x1 convolutions to a wide and back to a narrow number of channels."""
    return lambda b, x: b.conv(b.conv(x, wide, 1, act="Relu"), narrow, 1, act="Relu")


def mlp(wide: int, act: str | None = None) -> Layers:
    """Two dense layers by MatMul, back to the width of the input."""
    return lambda b, x: b.linear(b.linear(x, wide, act), b.shape(x)[-1])


def _attend(b: GraphBuilder, x: str) -> str:
    heads, tokens, depth = b.shape(x)
    scores = b.add("MatMul", [x, b.transpose(x, 1, 3, 2)], (heads, tokens, tokens))
    scaled = b.add("Mul", [scores, b.scalar(4 / (tokens * depth))], (heads, tokens, tokens))
    return b.add("MatMul", [scaled, x], (heads, tokens, depth))


def _move(b: GraphBuilder, x: str) -> str:
    height, width = b.shape(x)[1:]
    turned = b.transpose(x, 1, 3, 2)
    both = b.concat([x, turned])
    half = b.shape(x)[0]
    bounds = [b.constant([half]), b.constant([2 * half]), b.constant([1])]
    return b.add("Slice", [both, *bounds], (half, height, width))


CHAINS = (
    Probe("null", (16,), lambda b, x: b.activation(x, "Relu")),
    Probe("dispatch", (16,), chain(32, lambda b, x: b.activation(b.gemm(x, 16), "Sigmoid"))),
    Probe("stem", (3, 160, 160), conv(32, stride=2)),
    Probe("conv_wide_16", (16, 112, 112), conv(16)),
    Probe("conv_wide_64", (64, 56, 56), conv(64)),
    Probe("conv_deep_128", (128, 14, 14), chain(2, conv(128))),
    Probe("conv_deep_512", (512, 7, 7), conv(512)),
    Probe("conv1x1_wide", (24, 56, 56), pointwise(144, 24)),
    Probe("conv1x1_deep", (96, 14, 14), chain(2, pointwise(576, 96))),
    Probe("depthwise_wide", (96, 56, 56), chain(3, conv(96, groups=96))),
    Probe("depthwise_deep", (480, 14, 14), chain(3, conv(480, 5, groups=480))),
    Probe("grouped", (128, 28, 28), conv(128, groups=16)),
    Probe("conv1d", (64, 1000), chain(2, conv(64))),
    Probe("convtranspose", (64, 28, 28), lambda b, x: b.conv_transpose(x, 32)),
    Probe("matmul", (128, 128), chain(2, mlp(512))),
    Probe("fused", (128, 128), chain(2, mlp(512, "Gelu"))),
    Probe("gemm", (512,), lambda b, x: b.gemm(b.gemm(x, 1024), 512), batch=32),
    Probe("attention", (8, 128, 32), chain(2, _attend)),
    Probe("recurrent", (1, 128), lambda b, x: b.lstm(x, 256), batch=32),
    Probe("gemv", (512,), chain(2, lambda b, x: b.gemm(x, 512))),
    Probe("gemv_cold", (4096,), lambda b, x: b.gemm(x, 4096)),
    Probe("elementwise", (64, 56, 56), chain(3, lambda b, x: b.mul(b.activation(x, "Tanh"), x))),
    Probe("norm", (128, 384), chain(4, lambda b, x: b.layer_norm(x))),
    Probe("softmax", (8, 128, 128), chain(2, lambda b, x: b.add("Softmax", [x], b.shape(x)))),
    Probe("pool", (64, 112, 112), lambda b, x: b.pool(x, 3, 2, pad=1)),
    Probe("movement", (64, 56, 56), chain(2, _move)),
)
"""Chains of layers; each represents one class of operators."""

NETWORKS = tuple(
    Probe(name, network.dims, network.layers, network.batch) for name, network in REFERENCES.items()
)

PROBES: Mapping[str, Probe] = {probe.name: probe for probe in (*CHAINS, *NETWORKS)}
"""All probe graphs by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """Probes of a run, and the sizes of its transfers in bytes; the default is the whole suite.

    Readings of another plan are not comparable: it is for checks of the probe itself.
    """

    probes: Mapping[str, Probe] = field(default_factory=lambda: PROBES)
    heavy: Sequence[str] = HEAVY
    memory_bytes: int = MEMORY_BYTES
    load_bytes: int = LOAD_BYTES
    file_bytes: int = FILE_BYTES
    folder: Path | None = None
    """Folder for temporary files; None is the system's."""


FILE_READS = 5
CHUNK_BYTES = 1 << 20
LAYER_WIDTH = 1024


def copy_memory(size_bytes: int = MEMORY_BYTES) -> TimedCall:
    """Return a copy that reads and writes `size_bytes` in total."""
    source = np.ones(size_bytes // 2, dtype=np.uint8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)


def load_test_model(size_bytes: int = LOAD_BYTES) -> ModelProto:
    """Return dense layers with `size_bytes` of distinct weights."""
    b = GraphBuilder("load", dense=True, opset=PLAIN_OPSET)
    x = b.input("x", LAYER_WIDTH, batch=1)
    for _ in range(size_bytes // (4 * LAYER_WIDTH * LAYER_WIDTH)):
        x = b.gemm(x, LAYER_WIDTH)
    model = b.build(x)
    source = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1:
            values = source.uniform(0, 2 / LAYER_WIDTH, tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def load_model(
    runtime: Runtime, options: RuntimeOptions, size_bytes: int = LOAD_BYTES
) -> TimedCall:
    """Load a model of `size_bytes` from memory into the runtime.

    Raises:
        InvalidModel: the runtime cannot load it.
    """
    model = load_test_model(size_bytes).SerializeToString()
    runtime.load(model, options)
    return lambda: runtime.load(model, options)


def read_file(size_bytes: int = FILE_BYTES, parent: Path | None = None) -> Reading | None:
    """Seconds to read a file of `size_bytes` that was dropped from the page cache.

    None if temporary files of that size cannot be written or dropped. `parent` is the folder for
    temporary files; the system's by default.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="acesniper-probe-", dir=parent) as folder:
            path = Path(folder) / "bytes"
            _write(path, size_bytes)
            return reading_of([_read(path) for _ in range(FILE_READS)])
    except OSError:
        return None


def _write(path: Path, size_bytes: int) -> None:
    block = os.urandom(CHUNK_BYTES)
    with path.open("wb") as file:
        for _ in range(size_bytes // CHUNK_BYTES):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> float:
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        buffer = bytearray(CHUNK_BYTES)
        start = time.perf_counter()
        while file.readinto(buffer):
            pass
        return time.perf_counter() - start
