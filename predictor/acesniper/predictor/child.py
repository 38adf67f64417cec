"""The process that opens a foreign model: `python -m acesniper.predictor.onnx.sandbox REQUEST`.

REQUEST is JSON (path, batch, shapes, memory_bytes, cpu_s). Standard output gets one JSON object,
`{"features": ...}` or `{"reason": ..., "message": ...}`.
"""

import json
import resource
import sys
from dataclasses import asdict, replace
from pathlib import Path

from acesniper.domain.model import ModelFeatures

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
    from acesniper.predictor.onnx.feature_extraction import summarise
    from acesniper.predictor.onnx.graph import load
    from acesniper.predictor.similarity import nearest

    check_memory(path.stat().st_size)
    features = summarise(load(path, batch, shapes))
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
