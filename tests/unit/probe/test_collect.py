from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.probe.collect import COLUMNS, LatencyRecord, ModelCase, Target, collect, write_rows
from acesniper.probe.isolation import Isolated, LatencyJob
from acesniper.probe.latency import Latency, LatencyEffort, measure_latency
from acesniper.probe.runtimes import RuntimeOptions, runtime
from small_models import linear_model, make_model, save
from stub_runtimes import crashing, hanging, latency

ORT = runtime("onnxruntime")
SHORT = LatencyEffort(rounds=1, round_s=0.0)
TARGET = Target("edge-1", "onnxruntime", "1.0", RuntimeOptions())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(linear_model(), tmp_path / "linear.onnx")


def measured(path: Path, reference: Path | None = None) -> Latency:
    return measure_latency(path, 1, {}, ORT, RuntimeOptions(), effort=SHORT, reference=reference)


def test_each_model_gives_a_row_or_a_reported_failure(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    messages: list[str] = []
    with Isolated(LatencyJob("onnxruntime", RuntimeOptions(), SHORT)) as child:
        rows = list(
            collect(
                [ModelCase(model, 4), ModelCase(broken)],
                TARGET,
                child.measure,
                progress=messages.append,
            )
        )

    assert [(row.device, row.runtime, row.model, row.batch) for row in rows] == [
        ("edge-1", "onnxruntime", "linear", 4)
    ]
    assert rows[0].latency_ms > 0
    assert rows[0].passes == 2
    assert COLUMNS[:5] == ("device", "runtime", "model", "batch", "latency_ms")
    assert any("NotOnnx" in message for message in messages)


def test_a_language_model_gets_valid_ids_and_masks(tmp_path: Path) -> None:
    """As transformers are exported: two segments, and what is masked gets the least float."""
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["w"]),
        helper.make_node("Gather", ["segments", "types"], ["s"]),
        helper.make_node("Add", ["w", "s"], ["h"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "m"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "least"], ["bias"]),
        helper.make_node("Unsqueeze", ["bias", "last"], ["b"]),
        helper.make_node("Add", ["h", "b"], ["y"]),
    ]
    weights = {
        "words": np.ones((30, 4), np.float32),
        "segments": np.ones((2, 4), np.float32),
        "one": np.asarray(1, np.float32),
        "least": np.asarray(np.finfo(np.float32).min),
        "last": np.asarray([-1]),
    }
    given = ("ids", "types", "mask")
    model = make_model(nodes, {name: [1, 8] for name in given}, weights=weights)
    for value in model.graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT64

    assert measured(save(model, tmp_path / "m.onnx")).seconds > 0


def test_sizes_apply_to_models_that_have_the_dimension(model: Path) -> None:
    shapes = {"sequence": 4}

    assert measure_latency(model, 1, shapes, ORT, RuntimeOptions(), effort=SHORT).seconds > 0


def test_the_quietest_pass_counts_and_the_spread_is_reported() -> None:
    passes = iter([latency(0.012), latency(0.010)])

    (row,) = collect([ModelCase(Path("m.onnx"))], TARGET, lambda _: next(passes))

    assert (row.latency_ms, row.spread) == (10.0, 0.2)


def test_outputs_are_compared_with_those_of_the_first_runtime(model: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"

    first, again = measured(model, reference), measured(model, reference)

    assert (first.disagreement, again.disagreement) == (0.0, 0.0)


def test_a_wrong_result_is_rejected(model: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    measured(model, reference)
    (kept,) = reference.iterdir()
    np.savez_compressed(kept, np.zeros(4, np.float32))

    with pytest.raises(InvalidModel) as caught:
        measured(model, reference)

    assert caught.value.reason == "WrongResult"


def test_a_result_that_is_not_finite_is_rejected(tmp_path: Path) -> None:
    endless = linear_model()
    zero = helper.make_tensor("zero", 1, [], [0.0])
    endless.graph.initializer.append(zero)
    before = endless.graph.node[-1].output[0]
    endless.graph.node[-1].output[0] = "before"
    endless.graph.node.append(helper.make_node("Div", ["before", "zero"], [before]))

    with pytest.raises(InvalidModel) as caught:
        measured(save(endless, tmp_path / "endless.onnx"))

    assert caught.value.reason == "NotFinite"


def test_a_crash_loses_one_model_only() -> None:
    messages: list[str] = []
    names = ("a", "deadly", "b")
    with Isolated(LatencyJob("onnxruntime", RuntimeOptions(), SHORT), serve=crashing) as child:
        expected = [ModelCase(Path(f"{name}.onnx")) for name in names]
        rows = list(collect(expected, TARGET, child.measure, passes=1, progress=messages.append))

    assert [row.model for row in rows] == ["a", "b"]
    assert any("Crashed" in message for message in messages)


def test_a_model_that_hangs_times_out() -> None:
    job = LatencyJob("onnxruntime", RuntimeOptions(), SHORT)
    with (
        Isolated(job, timeout_s=0.1, serve=hanging) as child,
        pytest.raises(InvalidModel) as caught,
    ):
        child.measure(ModelCase(Path("endless.onnx")))

    assert caught.value.reason == "TimedOut"


def test_rows_survive_a_round_trip_through_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = list(collect([ModelCase(Path("m.onnx"))], TARGET, lambda _: latency(0.01)))

    write_rows(rows, tmp_path / "rows.parquet")

    assert [
        LatencyRecord(**row) for row in parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    ] == rows
