"""How fast bytes come: by a copy in memory, into the runtime as a model, from a file."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from onnx import ModelProto, numpy_helper

from acesniper.domain.device import Reading
from acesniper.probe.graph_builder import GraphBuilder
from acesniper.probe.measure import TimedCall, reading_of
from acesniper.probe.runtimes import Runtime, RuntimeOptions
from acesniper.probe.suite import FILE_BYTES, LOAD_BYTES, MEMORY_BYTES, PLAIN_OPSET

TIMES = 5
CHUNK_BYTES = 1 << 20
SIDE = 1024


def copy_memory() -> TimedCall:
    """A copy that reads and writes MEMORY_BYTES in all."""
    source = np.ones(MEMORY_BYTES // 2, dtype=np.uint8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)


def weighty_model() -> ModelProto:
    """Dense layers with LOAD_BYTES of weights, no two of them equal."""
    b = GraphBuilder("load", dense=True, opset=PLAIN_OPSET)
    x = b.input("x", SIDE, batch=1)
    for _ in range(LOAD_BYTES // (4 * SIDE * SIDE)):
        x = b.gemm(x, SIDE)
    model = b.build(x)
    source = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1:
            values = source.uniform(0, 2 / SIDE, tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def load_model(runtime: Runtime, options: RuntimeOptions) -> TimedCall:
    """Make the runtime ready to run a model of LOAD_BYTES that is in memory.

    Raises:
        InvalidModel: the runtime cannot load it.
    """
    model = weighty_model().SerializeToString()
    runtime.load(model, options)
    return lambda: runtime.load(model, options)


def read_file() -> Reading | None:
    """Seconds to read a file of FILE_BYTES that the page cache was told to forget.

    None where temporary files of that size cannot be written or forgotten.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="acesniper-probe-") as folder:
            path = Path(folder) / "bytes"
            _write(path)
            return reading_of([_read(path) for _ in range(TIMES)])
    except OSError:
        return None


def _write(path: Path) -> None:
    block = os.urandom(CHUNK_BYTES)
    with path.open("wb") as file:
        for _ in range(FILE_BYTES // CHUNK_BYTES):
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
