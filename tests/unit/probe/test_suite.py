import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from acesniper.predictor.analytical import CLASS_PROBES, FUSED_PARTNER
from acesniper.predictor.features import CLASSES
from acesniper.predictor.probe_matrix import PROBE_FAMILIES, known_suite
from acesniper.probe.feeds import random_feeds
from acesniper.probe.runtimes import Input, RuntimeOptions, runtime
from acesniper.probe.suite import (
    FILE_READ,
    HEAVY,
    LOAD,
    LOAD_BYTES,
    MEMORY,
    PROBES,
    SENTINEL,
    SUITE,
    TRANSFERS,
    VERSION,
    copy_memory,
    load_model,
    load_test_model,
    read_file,
)
from acesniper.probe.workloads import mean_output, workload


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_a_valid_small_graph_and_the_same_every_time(name: str) -> None:
    model = PROBES[name].build()

    onnx.checker.check_model(model, full_check=True)
    assert len(model.SerializeToString()) < 40_000
    assert model.SerializeToString() == PROBES[name].build().SerializeToString()


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_needs_no_new_operator_set(name: str) -> None:
    model = PROBES[name].build()

    assert model.opset_import[0].version <= 13
    assert {node.domain for node in model.graph.node} == {""}
    assert all(dim.dim_value > 0 for dim in model.graph.input[0].type.tensor_type.shape.dim)


@pytest.mark.parametrize("name", PROBES)
def test_no_value_inside_a_probe_is_denormal_or_overflows(name: str) -> None:
    model = PROBES[name].build()
    made = [output for node in model.graph.node for output in node.output]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in made
        if name not in {output.name for output in model.graph.output}
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())  # denormals not flushed
    feeds = random_feeds([Input("x", tuple(session.get_inputs()[0].shape), np.dtype("f4"))])

    for values in session.run(None, feeds):
        assert np.isfinite(values).all()
        assert np.abs(values).max() < np.finfo(np.float16).max
        assert (np.abs(values[values != 0]) > np.finfo(np.float32).tiny).all()


def test_a_decomposed_norm_counts_as_one_norm() -> None:
    spelled = {node.op_type for node in PROBES["norm"].build().graph.node}

    assert "LayerNormalization" not in spelled
    assert known_suite().work[known_suite().index("norm"), CLASSES.index("norm"), 2] == 4


def test_the_predictor_uses_the_current_suite() -> None:
    suite = known_suite()

    assert (suite.name, suite.version) == (SUITE, VERSION)
    assert suite.probes == (*PROBES, MEMORY)
    assert (suite.typical_s > 0).all()


@pytest.mark.parametrize("name", ["conv_wide_64", "fused", "norm", "net_vit"])
def test_the_predictor_has_the_workload_of_a_probe(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = json.loads((files("acesniper.predictor") / "workloads.json").read_text())

    assert content["workloads"][name] == workload(name, tmp_path_factory.mktemp("probe"))
    assert content["mean_output"][name] == pytest.approx(mean_output(PROBES[name]), rel=1e-3)


def test_every_class_is_represented_by_a_probe() -> None:
    assert set(CLASS_PROBES) == set(CLASSES)
    assert {probe for speakers in CLASS_PROBES.values() for probe in speakers} <= set(PROBES)
    assert {probe for family in PROBE_FAMILIES for probe in family} <= {*PROBES, MEMORY}
    assert FUSED_PARTNER in PROBES


def test_probes_under_load_are_in_the_suite() -> None:
    assert set(HEAVY) <= {*PROBES, MEMORY}
    assert set(TRANSFERS) == {MEMORY, LOAD, FILE_READ}


def test_every_heavy_class_has_a_probe() -> None:
    nodes = known_suite().work[:, :, 2].sum(axis=0)

    silent = {kind for kind, count in zip(CLASSES, nodes, strict=True) if count == 0}
    assert silent == {"other", "unknown"}
    assert SENTINEL in PROBES


def test_the_model_to_load_has_the_stated_weights() -> None:
    model = load_test_model()

    onnx.checker.check_model(model, full_check=True)
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    matrices = [tensor for tensor in weights if tensor.ndim > 1]
    assert sum(matrix.nbytes for matrix in matrices) == LOAD_BYTES
    assert len(np.unique(np.concatenate(matrices))) > 1e6


def test_a_load_can_be_repeated() -> None:
    loaded = []

    class Counting:
        name, version, provider = "counting", "1", "cpu"

        def load(self, model: bytes, options: RuntimeOptions) -> object:
            loaded.append(len(model))
            return runtime("onnxruntime").load(model, options)

    run = load_model(Counting(), RuntimeOptions(), 4 << 20)  # type: ignore[arg-type]  # only loads
    run()

    assert len(loaded) == 2
    assert loaded[0] > 4 << 20


def test_the_copy_moves_the_stated_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def copyto(target: np.ndarray, source: np.ndarray) -> None:
        copied.append(target.nbytes + source.nbytes)

    monkeypatch.setattr(np, "copyto", copyto)

    copy_memory(1 << 10)()

    assert copied == [1 << 10]


def test_a_file_is_read_and_removed(tmp_path: Path) -> None:
    result = read_file(3 << 20, tmp_path)

    assert result is not None
    assert result.seconds > 0
    assert list(tmp_path.iterdir()) == []
