"""Graphs that are broken, hostile or merely unusual are refused with a reason, or read right."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.version_converter import convert_version

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.features import CLASSES
from acesniper.predictor.onnx.sandbox import extract_features
from small_models import features_of, linear_model, make_model

RELU = [helper.make_node("Relu", ["x"], ["y"])]


def twice_given() -> ModelProto:
    nodes = [helper.make_node(op, ["x"], ["y"]) for op in ("Relu", "Tanh")]
    return make_model(nodes, {"x": [4]})


def two_weights_of_one_name() -> ModelProto:
    model = linear_model()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((8, 8), np.float32), "w"))
    return model


def cycle() -> ModelProto:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    return make_model(nodes, {"x": [4]}, ["b"])


def dangling_input() -> ModelProto:
    return make_model([helper.make_node("Add", ["x", "missing"], ["y"])], {"x": [4]})


def missing_output() -> ModelProto:
    return make_model(RELU, {"x": [4]}, ["z"])


def negative_weight() -> ModelProto:
    model = linear_model()
    model.graph.initializer[0].dims[0] = -8
    return model


def nameless_operator() -> ModelProto:
    return make_model([helper.make_node("", ["x"], ["y"])], {"x": [4]})


@pytest.mark.parametrize(
    ("make", "reason", "message"),
    [
        pytest.param(
            twice_given, "NotOnnx", "'y' has more than one producer", id="duplicate value"
        ),
        pytest.param(
            two_weights_of_one_name, "NotOnnx", "more than one producer", id="duplicate weight"
        ),
        pytest.param(cycle, "NotOnnx", "'b', which is produced by a later node", id="cycle"),
        pytest.param(dangling_input, "NotOnnx", "'missing'", id="dangling input"),
        pytest.param(missing_output, "NotOnnx", "output 'z'", id="missing output"),
        pytest.param(negative_weight, "NotOnnx", "negative", id="negative dimension"),
        pytest.param(nameless_operator, "ShapeInferenceFailed", "cannot infer", id="no operator"),
    ],
)
def test_a_malformed_graph_is_rejected(
    make: Callable[[], ModelProto], reason: str, message: str
) -> None:
    with pytest.raises(InvalidModel, match=message) as caught:
        features_of(make())
    assert caught.value.reason == reason


def test_a_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(linear_model().SerializeToString().replace(b"MatMul", b"Mat\xffMul"[:6]))

    with pytest.raises(InvalidModel, match="not valid UTF-8") as caught:
        extract_features(path, 1, {})
    assert caught.value.reason == "NotOnnx"


@pytest.mark.parametrize("kind", ["sequence", "optional", "map"])
def test_inputs_other_than_tensors_are_rejected(kind: str) -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [4])
    types = {
        "sequence": helper.make_sequence_type_proto(tensor),
        "optional": helper.make_optional_type_proto(tensor),
        "map": helper.make_map_type_proto(TensorProto.INT64, tensor),
    }
    model = make_model(RELU, {"x": [4]})
    model.graph.input.append(helper.make_value_info("extra", types[kind]))

    with pytest.raises(InvalidModel, match="'extra' is not a tensor") as caught:
        features_of(model)
    assert caught.value.reason == "UnsupportedInput"


def test_string_tensors_are_read() -> None:
    nodes = [
        helper.make_node("StringNormalizer", ["names"], ["lower"], case_change_action="LOWER"),
        *RELU,
    ]
    model = make_model(nodes, {"x": [4]})
    model.graph.input.append(helper.make_tensor_value_info("names", TensorProto.STRING, [3]))
    model.graph.output.append(helper.make_tensor_value_info("lower", TensorProto.STRING, [3]))

    assert features_of(model).values["other.nodes"] == 1


def test_a_sparse_weight_counts_as_its_dense_matrix() -> None:
    model = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [16, 8]})
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    places = numpy_helper.from_array(np.asarray([0, 5]), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [8, 4]))

    features = features_of(model)

    assert features.flops == 2 * 16 * 8 * 4
    assert features.values["matmul.nodes"] == 1


def test_an_empty_tensor_costs_nothing() -> None:
    weights: dict[str, np.ndarray] = {
        "none": np.zeros((0, 8), np.float32),
        "w": np.ones((8, 4), np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["none", "w"], ["empty"]),
        helper.make_node("MatMul", ["x", "w"], ["full"]),
        helper.make_node("Concat", ["empty", "full"], ["y"], axis=0),
    ]

    features = features_of(make_model(nodes, {"x": [16, 8]}, weights=weights))

    assert features.flops == 2 * 16 * 8 * 4
    assert features.values["output.bytes"] == 4 * 16 * 4


def test_a_weight_that_is_also_an_input_stays_a_weight() -> None:
    model = linear_model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [8, 4]))

    assert features_of(model, batch=16).parameters == 32


def test_weights_as_constant_nodes_are_weights() -> None:
    tensor = numpy_helper.from_array(np.ones((128, 64), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]

    features = features_of(make_model(nodes, {"x": [16, 128]}))

    assert features.parameters == 128 * 64
    assert features.values["matmul.flops"] == 2 * 16 * 128 * 64


def test_constant_expressions_cost_nothing_at_run_time() -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]

    features = features_of(
        make_model(nodes, {"x": [16, 128]}, weights={"w": np.ones((64, 128), np.float32)})
    )

    assert features.operators == {"MatMul": 1}
    assert features.parameters == 64 * 128


def test_a_graph_nested_too_deeply_is_rejected() -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["deep"])],
        "deepest",
        [],
        [helper.make_tensor_value_info("deep", TensorProto.FLOAT, None)],
    )
    for depth in range(60):
        name = f"deep{depth}"
        node = helper.make_node("If", ["c"], [name], then_branch=inner, else_branch=inner)
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        inner = helper.make_graph([node], name, [], [output])
        if inner.ByteSize() > 1 << 20:
            break
    model = make_model([*inner.node], {"x": [4]}, [inner.output[0].name])
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))

    assert features_of(model).flops == 0


@pytest.mark.parametrize("opset", range(9, onnx.defs.onnx_opset_version() + 1))
def test_every_operator_set_gives_the_same_features(opset: int) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *["s"] * 4], ["b"]),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "z"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"], axis=-1),
    ]
    weights: dict[str, np.ndarray] = {
        **{"k": np.ones((8, 3, 3, 3), np.float32), "s": np.ones(8, np.float32)},
        **{"w": np.ones((8, 5), np.float32), "z": np.ones(5, np.float32)},
    }
    model = make_model(nodes, {"x": [16, 3, 30, 30]}, weights=weights, opset=9)
    converted = convert_version(model, opset)

    features = features_of(converted)

    assert features.flops == 2 * 16 * (8 * 900 * 27 + 8 * 5)
    assert {kind for kind in CLASSES if features.values[f"{kind}.nodes"]} == {
        "stem",
        "fused",
        "pool",
        "gemm",
        "softmax",
    }


def test_a_recursive_function_is_rejected() -> None:
    model = make_model([helper.make_node("F", ["x"], ["y"], domain="own")], {"x": [4]})
    opset = helper.make_opsetid("own", 1)
    again = helper.make_node("F", ["x"], ["y"], domain="own")
    model.opset_import.append(opset)
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [again], [opset]))

    with pytest.raises(InvalidModel, match="calls itself") as caught:
        features_of(model)
    assert caught.value.reason == "NotOnnx"


def test_an_operator_set_newer_than_supported_is_rejected() -> None:
    model = linear_model()
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 1

    with pytest.raises(InvalidModel) as caught:
        features_of(model)
    assert caught.value.reason == "UnsupportedOpset"


def spelled_out(op: str, last: list[str]) -> ModelProto:
    """A layer norm as exporters wrote it before operator set 17."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("ReduceMean", ["h"], ["m"], axes=[-1]),
        helper.make_node("Sub", ["h", "m"], ["d"]),
        helper.make_node("Pow", ["d", "two"], ["q"]),
        helper.make_node("ReduceMean", ["q"], ["v"], axes=[-1]),
        helper.make_node("Add", ["v", "eps"], ["e"]),
        helper.make_node("Sqrt", ["e"], ["s"]),
        helper.make_node(op, last, ["n"]),
        helper.make_node("Mul", ["n", "g"], ["y"]),
    ]
    weights: dict[str, np.ndarray] = {
        **{"w": np.ones((8, 8), np.float32), "g": np.ones(8, np.float32)},
        **{"two": np.asarray(2, np.float32), "eps": np.asarray(1e-5, np.float32)},
    }
    return make_model(nodes, {"x": [16, 8]}, weights=weights, opset=13)


def test_a_decomposed_normalisation_is_recognised() -> None:
    values = features_of(spelled_out("Div", ["d", "s"])).values

    assert values["norm.nodes"] == 1
    assert values["pool.nodes"] == values["elementwise.nodes"] == 0
    assert values["bytes_by_norm.layer"] == values["norm.bytes"]


def test_a_similar_pattern_is_not_taken_for_a_normalisation() -> None:
    values = features_of(spelled_out("Div", ["h", "s"])).values

    assert values["norm.nodes"] == 0
    assert values["pool.nodes"] == 2


def test_padding_arithmetic_of_exporters_is_folded() -> None:
    """As torch exports padding of p = max(0, (ceil(9 / 2) - 1) * 2 + 3 - 9), halved by floor."""
    scalars = {"size": 4.5, "one": 1.0, "stride": 2.0, "kernel": 3.0, "length": 9.0, "zero": 0.0}
    nodes = [
        helper.make_node("Ceil", ["size"], ["n"]),
        helper.make_node("Sub", ["n", "one"], ["n1"]),
        helper.make_node("Mul", ["n1", "stride"], ["n2"]),
        helper.make_node("Add", ["n2", "kernel"], ["n3"]),
        helper.make_node("Sub", ["n3", "length"], ["n4"]),
        helper.make_node("Clip", ["n4", "zero"], ["p"]),
        helper.make_node("Div", ["p", "stride"], ["half"]),
        helper.make_node("Floor", ["half"], ["low"]),
        helper.make_node("Sub", ["p", "low"], ["high"]),
        *(helper.make_node("Unsqueeze", [n, "axis"], [f"{n}1"]) for n in ("low", "high")),
        helper.make_node("Concat", ["low1", "high1"], ["both"], axis=0),
        helper.make_node("Cast", ["both"], ["pads"], to=TensorProto.INT64),
        helper.make_node("Pad", ["x", "pads"], ["y"]),
    ]
    weights: dict[str, np.ndarray] = {
        **{name: np.asarray(value, np.float32) for name, value in scalars.items()},
        "axis": np.asarray([0]),
    }

    features = features_of(make_model(nodes, {"x": [9]}, weights=weights))

    assert features.values["output.bytes"] == 4 * (9 + 2)
