"""Read a model's features from its ONNX file, in a process of its own.

A model is foreign input: it may be broken, huge or hostile. It is opened by a child process with
little memory, little time and no environment; whatever happens there ends as InvalidModel here.
"""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from acesniper.api.objects import Json
from acesniper.domain.errors import InvalidModel, invalid_model_reason
from acesniper.domain.model import ModelFeatures
from acesniper.runtime.memory import available_bytes


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
            reason = invalid_model_reason(answer["reason"], "ReaderCrashed")
            raise InvalidModel(reason, f"{name}: {answer['message']}")
        return answer
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    if done.returncode == -signal.SIGXCPU:
        raise InvalidModel("TimedOut", f"{name} takes too much computing time to read")
    starved = any(word in done.stderr for word in (b"MemoryError", b"bad_alloc", b"Cannot alloc"))
    if starved or done.returncode == -signal.SIGKILL:  # the kernel kills where a container's ends
        raise InvalidModel("OutOfMemory", f"{name} takes too much memory to read")
    raise InvalidModel("ReaderCrashed", f"{name} cannot be read: {last[0][:300]}")


# TODO merge docstring of acesniper.predictor.onnx.sandbox:
# The process that opens a foreign model: `python -m acesniper.predictor.onnx.sandbox REQUEST`.
#
# REQUEST is JSON (path, batch, shapes, memory_bytes, cpu_s). Standard output gets one JSON object,
# `{"features": ...}` or `{"reason": ..., "message": ...}`.

PARSED_RATIO = 2
"""A parsed model takes its own size again, beside the bytes of the file."""


def apply_limits(memory_bytes: int, cpu_s: int) -> None:
    """Take from this process what a hostile model could use: memory, time, files, cores."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    # The soft limit first, whose signal tells time from memory.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def check_memory(file_bytes: int) -> None:
    """Raise MemoryError where a file this large cannot be parsed; the parser would say "broken"."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    if most != resource.RLIM_INFINITY and used + PARSED_RATIO * file_bytes > most:
        raise MemoryError


def extract_features(path: Path, batch: int, shapes: dict[str, int]) -> ModelFeatures:
    """The features of the model at `path`; raises InvalidModel."""
    from acesniper.predictor.onnx.feature_extraction import extract
    from acesniper.predictor.onnx.graph import load_graph
    from acesniper.predictor.similarity import nearest

    check_memory(path.stat().st_size)
    features = extract(load_graph(path, batch, shapes))
    return replace(features, similar=nearest(features))


def main() -> None:
    """Read the model that the request names, under its limits."""
    from acesniper.domain.errors import InvalidModel

    request = json.loads(sys.argv[1])
    apply_limits(request["memory_bytes"], request["cpu_s"])
    answer: dict[str, object]
    try:
        found = extract_features(Path(request["path"]), request["batch"], request["shapes"])
        answer = {"features": asdict(found)}
    except InvalidModel as error:
        answer = {"reason": error.reason, "message": str(error)}
    except MemoryError:
        answer = {"reason": "OutOfMemory", "message": "reading the model takes too much memory"}
    except RecursionError:
        answer = {"reason": "TooDeep", "message": "the graph nests too deeply"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
