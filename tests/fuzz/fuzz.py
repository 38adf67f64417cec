"""Coverage-guided fuzzing of what reads foreign bytes: `make fuzz [SECONDS=N]`.

    fuzz.py TARGET [OPTIONS OF LIBFUZZER]

Targets: `reader` (ONNX files), `wire` (requests of kube-scheduler), `annotations` (decisions, pods
and their readings), `reports` (termination messages and progress). An error that a target does not
declare is a finding: the input is written to the working folder. `tests/fuzz/corpus/TARGET` has
inputs to start from; new ones are kept in `build/fuzz/TARGET`.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
from onnx_mutator import mutated

ROOT = Path(__file__).parents[2]

# Protocol buffers, numpy and onnx are not ours: instrumenting them would only slow the fuzzer down.
with atheris.instrument_imports(include=["acesniper"], enable_loader_override=False):
    import msgspec

    from acesniper.api import messages
    from acesniper.api.decision import Decision
    from acesniper.api.objects import NodeView, PodView
    from acesniper.domain.errors import InvalidInput, Unavailable
    from acesniper.domain.foreign_text import bounded_text
    from acesniper.extender import protocol
    from acesniper.predictor.features import FEATURE_NAMES
    from acesniper.predictor.onnx import feature_extraction, graph
    from acesniper.predictor.onnx.sandbox import extract_features

# The sandbox imports these only when it reads a file.
assert graph
assert feature_extraction
SCRATCH = Path(tempfile.mkdtemp(prefix="acesniper-fuzz-"))


def fuzz_reader(data: bytes) -> None:
    """The graph of a file, in this process; what the sandbox reports is expected."""
    path = SCRATCH / "model.onnx"
    path.write_bytes(data)
    try:
        features = extract_features(path, 2, {"n": 3, "sequence": 5})
    except (InvalidInput, MemoryError, RecursionError):
        return
    assert messages.unpack_features(messages.pack_features(features), FEATURE_NAMES) is not None


def fuzz_wire(data: bytes) -> None:
    """A request of `/filter`; answers with the names that it has."""
    try:
        request = protocol.decode_args(data)
    except msgspec.MsgspecError:
        return
    protocol.encode(protocol.FilterResult(request.node_names, error=bounded_text(data)))


def fuzz_annotations(data: bytes) -> None:
    """A decision in an annotation, on a pod and a node that hold the same text elsewhere."""
    text = data.decode(errors="replace")
    decision = Decision.read(text)
    if decision is not None:
        decision.sentence()
        decision.record()
    annotations = {"acesniper.io/device": text, "acesniper.io/decision": text}
    metadata = {"name": "p", "namespace": "n", "uid": "u", "annotations": annotations}
    with contextlib.suppress(InvalidInput):
        PodView.of({"metadata": metadata, "spec": {}, "status": {}})
        NodeView.of({"metadata": metadata, "spec": {}, "status": {}})


def fuzz_reports(data: bytes) -> None:
    """A termination message of a runner or of a reader of models, and a response with progress."""
    text = data.decode(errors="replace")
    messages.parse_report(text)
    messages.parse_progress(data)
    with contextlib.suppress(InvalidInput, Unavailable):
        messages.unpack_features(text, FEATURE_NAMES)
        # The same content as the pod would have packed it.
        messages.unpack_features(messages._pack(_json(text)), FEATURE_NAMES)


def mutated_model(data: bytes, max_size: int, seed: int) -> bytes:
    """Another ONNX file."""
    return bytes(mutated(data, max_size, seed, atheris.Mutate))


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


TARGETS: dict[str, Callable[[bytes], None]] = {
    "reader": fuzz_reader,
    "wire": fuzz_wire,
    "annotations": fuzz_annotations,
    "reports": fuzz_reports,
}


def main() -> None:
    """Fuzz the target that the first argument names."""
    name = sys.argv.pop(1)
    kept = ROOT / "build/fuzz" / name
    kept.mkdir(parents=True, exist_ok=True)
    arguments = [*sys.argv, str(kept), str(ROOT / "tests/fuzz/corpus" / name)]
    options = {"custom_mutator": mutated_model} if name == "reader" else {}
    atheris.Setup(arguments, TARGETS[name], **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
