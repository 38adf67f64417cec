"""Reading of a model's features in a sandboxed child process.

A model is untrusted input: it may be malformed, huge or hostile. A child process opens it, with
limits on memory and time and an empty environment; every failure is raised as InvalidModel.

The child is `python -m acesniper.predictor.onnx.sandbox REQUEST`. REQUEST is JSON (path, batch,
shapes, memory_bytes, cpu_s); the response on standard output is one JSON object,
`{"features": ...}` or `{"reason": ..., "message": ...}`.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from acesniper.api.objects import Json
from acesniper.domain.errors import InvalidModel, invalid_model_reason
from acesniper.domain.foreign_text import bounded_text
from acesniper.domain.model import MAX_AMOUNT, MAX_COUNT, ModelFeatures
from acesniper.runtime.memory import available_bytes

PARSED_RATIO = 2
"""Memory for parsing relative to the file's size: the bytes of the file and the parsed model."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits for reading one model; `file_bytes` is the maximum size of the .onnx file itself."""

    file_bytes: int = 1 << 30
    memory_bytes: int = 4 << 30
    wall_s: float = 120.0
    cpu_s: int = 100


DEFAULT_LIMITS = ReadLimits()
MAX_OPERATORS = 256
"""Kinds of operators that are reported by name."""
MAX_NAME_CHARS = 100
NICENESS = 10


def container_limits(
    limits: ReadLimits = DEFAULT_LIMITS, available: Callable[[], int | None] = available_bytes
) -> ReadLimits:
    """Limits inside a container: a model that needs too much memory may only end the child."""
    memory_bytes = available()
    if memory_bytes is None:
        return limits
    return replace(limits, memory_bytes=min(memory_bytes, limits.memory_bytes))


def read_model(
    path: Path,
    *,
    batch: int = 1,
    shapes: Mapping[str, int] | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
) -> ModelFeatures:
    """Features of the model at `path` for one batch size and one set of input shapes.

    A symbolic first dimension is the batch; other symbolic dimensions are bound by `shapes`.
    Raises InvalidModel, whose reason is one of NotFound, NotOnnx, TooLarge, TimedOut, OutOfMemory,
    ExternalDataOutside, UnboundDimension, FixedBatch, BadShape, UnsupportedInput,
    UnsupportedOpset, ShapeInferenceFailed, TooDeep, ReaderCrashed.
    """
    response = _read_in_child(path, batch, dict(shapes or {}), limits)
    features = response["features"]
    if not isinstance(features, dict):
        raise InvalidModel("ReaderCrashed", f"{path.name}: malformed response of the model reader")
    return ModelFeatures(**features)


def _read_in_child(path: Path, batch: int, shapes: dict[str, int], limits: ReadLimits) -> Json:
    _check_file(path, limits)
    request = {
        "path": str(path.resolve()),
        "batch": batch,
        "shapes": shapes,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
    }
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-m", "acesniper.predictor.onnx.sandbox", json.dumps(request)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            # No secrets to read, and no thread pools that reserve memory.
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"reading {path.name} timed out after {limits.wall_s:g} s"
        raise InvalidModel("TimedOut", message) from error
    return _response(path.name, process, limits)


def _check_file(path: Path, limits: ReadLimits) -> None:
    if not path.is_file():
        raise InvalidModel("NotFound", f"file {path} does not exist")
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise InvalidModel(
            "TooLarge",
            f"{path.name} has {size} bytes, the limit is {limits.file_bytes};"
            " export it with its weights as external data",
        )


def _response(name: str, process: subprocess.CompletedProcess[bytes], limits: ReadLimits) -> Json:
    if process.returncode == 0 and process.stdout:
        response: Json = json.loads(process.stdout)
        if "reason" in response:
            reason = invalid_model_reason(response["reason"], "ReaderCrashed")
            raise InvalidModel(reason, f"{name}: {response['message']}")
        return response
    last_lines = process.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    if process.returncode == -signal.SIGXCPU:
        raise InvalidModel(
            "TimedOut", f"reading {name} took more than {limits.cpu_s} s of CPU time"
        )
    # In a container, the kernel's OOM killer sends SIGKILL.
    out_of_memory = process.returncode == -signal.SIGKILL or any(
        word in process.stderr for word in (b"MemoryError", b"bad_alloc", b"Cannot alloc")
    )
    if out_of_memory:
        raise InvalidModel("OutOfMemory", f"reading {name} exceeded the limit of memory")
    raise InvalidModel("ReaderCrashed", f"cannot read {name}: {bounded_text(last_lines[0], 300)}")


def apply_limits(memory_bytes: int, cpu_s: int) -> None:
    """Limit the memory and CPU time of this process; it can write no files and no core dumps."""
    for limit, maximum in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (maximum, maximum))
    # The process that waits for the result has other work.
    os.nice(NICENESS)
    # The soft limit is the lower one: its signal distinguishes time from memory.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def check_memory(file_bytes: int) -> None:
    """Raise MemoryError if a file of this size cannot be parsed: the parser calls it malformed."""
    maximum, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    if maximum != resource.RLIM_INFINITY and used + PARSED_RATIO * file_bytes > maximum:
        raise MemoryError


def extract_features(path: Path, batch: int, shapes: dict[str, int]) -> ModelFeatures:
    """Features of the model at `path`, read in this process. Raises InvalidModel."""
    # Deferred: the parent process needs none of them.
    from acesniper.predictor.onnx.feature_extraction import extract
    from acesniper.predictor.onnx.graph import load_graph
    from acesniper.predictor.similarity import nearest

    check_memory(path.stat().st_size)
    features = extract(load_graph(path, batch, shapes))
    _check_amounts(features)
    features = replace(features, operators=_bounded_names(features.operators))
    return replace(features, similar=nearest(features))


def _check_amounts(features: ModelFeatures) -> None:
    """Raise InvalidModel for amounts that a status cannot hold: loops multiply them."""
    amounts = (features.flops, features.bytes_moved, features.parameters, *features.values.values())
    if (
        not all(0 <= amount <= MAX_AMOUNT for amount in amounts)
        or max(features.parameters, features.peak_memory_bytes) > MAX_COUNT
    ):
        raise InvalidModel("TooLarge", f"the graph's operations or sizes exceed {MAX_AMOUNT:g}")


def _bounded_names(operators: Mapping[str, int]) -> dict[str, int]:
    """The operators, most frequent first, with names that a file cannot make arbitrarily long."""
    bounded: Counter[str] = Counter()
    for place, (name, count) in enumerate(operators.items()):
        bounded[bounded_text(name, MAX_NAME_CHARS) if place < MAX_OPERATORS else "others"] += count
    return dict(bounded)


def main() -> None:
    """Read the model that the request names, under its limits, and write the response."""
    request = json.loads(sys.argv[1])
    apply_limits(request["memory_bytes"], request["cpu_s"])
    response: dict[str, object]
    try:
        features = extract_features(Path(request["path"]), request["batch"], request["shapes"])
        response = {"features": asdict(features)}
    except InvalidModel as error:
        response = {"reason": error.reason, "message": bounded_text(error)}
    except MemoryError:
        response = {"reason": "OutOfMemory", "message": "reading exceeded the limit of memory"}
    except RecursionError:
        response = {"reason": "TooDeep", "message": "the graph is nested too deeply"}
    sys.stdout.write(json.dumps(response))


if __name__ == "__main__":
    main()
