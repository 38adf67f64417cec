"""Read a model's features from its ONNX file, in a process of its own.

A model is foreign input: it may be broken, huge or hostile. It is opened by a child process with
little memory, little time and no environment; whatever happens there ends as InvalidModel here.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import ModelFeatures
from acesniper.runtime.memory import available_bytes

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading one model may take. `file_bytes` bounds the .onnx file itself."""

    file_bytes: int = 1 << 30
    memory_bytes: int = 4 << 30
    wall_s: float = 120.0
    cpu_s: int = 100


DEFAULT_LIMITS = ReadLimits()


def container_limits() -> ReadLimits:
    """Those in a container: a model that wants more than its room must end the reader alone."""
    room = available_bytes()
    if room is None:
        return DEFAULT_LIMITS
    return replace(DEFAULT_LIMITS, memory_bytes=min(room, DEFAULT_LIMITS.memory_bytes))


def read_model(
    path: Path,
    *,
    batch: int = 1,
    shapes: Mapping[str, int] | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
) -> ModelFeatures:
    """The features of the model at `path` for one batch size and one set of input shapes.

    A symbolic first dimension is the batch; other symbolic dimensions are bound by `shapes`.
    Raises InvalidModel, whose reason is one of NotFound, NotOnnx, TooLarge, TimedOut, OutOfMemory,
    ExternalDataOutside, UnboundDimension, FixedBatch, BadShape, UnsupportedInput,
    UnsupportedOpset, ShapeInferenceFailed, TooDeep, ReaderCrashed.
    """
    answer = _ask(path, batch, dict(shapes or {}), limits)
    features = answer["features"]
    if not isinstance(features, dict):
        raise InvalidModel("ReaderCrashed", f"{path.name}: the reader's answer makes no sense")
    return ModelFeatures(**features)


def _ask(path: Path, batch: int, shapes: dict[str, int], limits: ReadLimits) -> Json:
    _check_file(path, limits)
    request = {
        "path": str(path.resolve()),
        "batch": batch,
        "shapes": shapes,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "acesniper.predictor.onnx.sandbox", json.dumps(request)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            # Nothing to leak, and no pool of threads that reserves memory of its own.
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"{path.name} was not read within {limits.wall_s:g} s"
        raise InvalidModel("TimedOut", message) from error
    return _answer(path.name, done)


def _check_file(path: Path, limits: ReadLimits) -> None:
    if not path.is_file():
        raise InvalidModel("NotFound", f"there is no file {path}")
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise InvalidModel(
            "TooLarge",
            f"{path.name} has {size} bytes, more than {limits.file_bytes};"
            " keep its weights in external data",
        )


def _answer(name: str, done: subprocess.CompletedProcess[bytes]) -> Json:
    if done.returncode == 0 and done.stdout:
        answer: Json = json.loads(done.stdout)
        if "reason" in answer:
            raise InvalidModel(str(answer["reason"]), f"{name}: {answer['message']}")
        return answer
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    if done.returncode == -signal.SIGXCPU:
        raise InvalidModel("TimedOut", f"{name} takes too much computing time to read")
    starved = any(word in done.stderr for word in (b"MemoryError", b"bad_alloc", b"Cannot alloc"))
    if starved or done.returncode == -signal.SIGKILL:  # the kernel kills where a container's ends
        raise InvalidModel("OutOfMemory", f"{name} takes too much memory to read")
    raise InvalidModel("ReaderCrashed", f"{name} cannot be read: {last[0][:300]}")
