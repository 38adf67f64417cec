"""Graphs inside graphs: what runs, how often, and with which shapes."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from acesniper.domain.errors import InvalidModel
from small_models import Dims, features_of, make_model

WEIGHT = {"w": np.ones((8, 8), np.float32)}
ONE_PRODUCT = 2 * 16 * 8 * 8
BOOL, FLOAT, INT64 = TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT64


def graph(
    nodes: Sequence[NodeProto],
    outputs: dict[str, int],
    inputs: dict[str, tuple[int, Dims | None]] | None = None,
) -> GraphProto:
    return helper.make_graph(
        list(nodes),
        "inner",
        [helper.make_tensor_value_info(k, kind, d) for k, (kind, d) in (inputs or {}).items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
    )


def product(source: str, target: str) -> NodeProto:
    return helper.make_node("MatMul", [source, "w"], [target])


def branching(condition: str) -> NodeProto:
    heavy = graph([product("x", "h"), product("h", "a")], {"a": FLOAT})
    light = graph([helper.make_node("Relu", ["x"], ["b"])], {"b": FLOAT})
    return helper.make_node("If", [condition], ["y"], then_branch=heavy, else_branch=light)


def loop(body: Sequence[NodeProto], trips: str = "trips", state: Dims | None = None) -> NodeProto:
    inner = graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), *body],
        {"go_on": BOOL, "next": FLOAT},
        {"turn": (INT64, []), "go": (BOOL, []), "state": (FLOAT, state)},
    )
    return helper.make_node("Loop", [trips, "", "x"], ["y"], body=inner)


def test_a_known_condition_runs_one_branch() -> None:
    for choice, flops in ((True, 2 * ONE_PRODUCT), (False, 0)):
        weights = {**WEIGHT, "c": np.asarray(choice)}

        assert (
            features_of(make_model([branching("c")], {"x": [16, 8]}, weights=weights)).flops
            == flops
        )


def test_a_condition_on_shapes_is_folded() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"]),
        helper.make_node("Gather", ["dims", "first"], ["n"]),
        helper.make_node("Greater", ["n", "limit"], ["c"]),
        branching("c"),
    ]
    weights = {**WEIGHT, "first": np.asarray(0), "limit": np.asarray(10)}
    model = make_model(nodes, {"x": ["batch", 8]}, weights=weights)

    assert features_of(model, batch=16).flops == 2 * ONE_PRODUCT
    assert features_of(model, batch=10).flops == 0


def test_an_unknown_condition_runs_each_branch_half_the_time() -> None:
    model = make_model([branching("c")], {"x": [16, 8]}, weights=WEIGHT)
    model.graph.input.append(helper.make_tensor_value_info("c", BOOL, []))

    assert features_of(model).flops == ONE_PRODUCT


def test_loops_in_loops_multiply() -> None:
    inner = loop([product("state", "next")])
    inner.output[0] = "next"
    inner.input[2] = "state"
    for value in (*inner.attribute[0].g.input, *inner.attribute[0].g.output):
        value.name = f"inner_{value.name}"
    for node in inner.attribute[0].g.node:
        node.input[:] = [n if n == "w" else f"inner_{n}" for n in node.input]
        node.output[:] = [f"inner_{n}" for n in node.output]
    weights = {**WEIGHT, "trips": np.asarray(3)}

    features = features_of(make_model([loop([inner])], {"x": [16, 8]}, weights=weights))

    assert features.flops == 9 * ONE_PRODUCT
    assert features.values["unbounded_loop.nodes"] == 0


def test_a_loop_of_unknown_length_counts_once_and_is_reported() -> None:
    model = make_model([loop([product("state", "next")])], {"x": [16, 8]}, weights=WEIGHT)
    model.graph.input.append(helper.make_tensor_value_info("trips", INT64, []))

    features = features_of(model)

    assert features.flops == ONE_PRODUCT
    assert features.values["unbounded_loop.nodes"] > 0


def test_a_loop_over_rows_knows_its_slices() -> None:
    body = [
        helper.make_node("Add", ["turn", "one"], ["after"]),
        helper.make_node("Unsqueeze", ["turn", "zero"], ["start"]),
        helper.make_node("Unsqueeze", ["after", "zero"], ["end"]),
        helper.make_node("Slice", ["x", "start", "end", "zero"], ["row"]),
        product("row", "done"),
        helper.make_node("Add", ["state", "done"], ["next"]),
    ]
    weights = {
        **WEIGHT,
        **{"trips": np.asarray(16), "one": np.asarray(1), "zero": np.asarray([0])},
    }

    features = features_of(make_model([loop(body)], {"x": [16, 8]}, weights=weights))

    assert features.flops == 16 * 2 * 8 * 8
    assert features.values["unshaped.nodes"] == 0


def test_heavy_work_on_a_growing_state_is_rejected() -> None:
    body = [
        product("state", "h"),
        helper.make_node("Concat", ["state", "h"], ["next"], axis=0),
    ]
    weights = {**WEIGHT, "trips": np.asarray(3)}

    with pytest.raises(InvalidModel) as caught:
        features_of(make_model([loop(body)], {"x": [16, 8]}, weights=weights))
    assert caught.value.reason == "ShapeInferenceFailed"


def test_a_scan_runs_once_per_element() -> None:
    body = graph([product("row", "given")], {"given": FLOAT}, {"row": (FLOAT, None)})
    scan = helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)

    features = features_of(make_model([scan], {"x": [5, 16, 8]}, weights=WEIGHT))

    assert features.flops == 5 * ONE_PRODUCT
    assert features.values["output.bytes"] == 4 * 5 * 16 * 8


def test_parts_of_a_split_sequence_keep_their_shapes() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x", "sizes"], ["parts"], axis=0),
        helper.make_node("SequenceAt", ["parts", "second"], ["part"]),
        product("part", "h"),
        helper.make_node("SequenceInsert", ["parts", "h"], ["more"]),
        helper.make_node("ConcatFromSequence", ["more"], ["all"], axis=0),
        product("all", "y"),
    ]
    weights = {**WEIGHT, "sizes": np.asarray([10, 6]), "second": np.asarray(1)}

    features = features_of(make_model(nodes, {"x": [16, 8]}, weights=weights))

    assert features.flops == 2 * 6 * 8 * 8 + 2 * (10 + 6 + 6) * 8 * 8
    assert features.values["unshaped.nodes"] == 0


@pytest.mark.parametrize("trips", [5, None], ids=["known trips", "unknown trips"])
def test_a_sequence_filled_by_a_loop_has_an_element_per_iteration(trips: int | None) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            product("x", "h"),
            helper.make_node("SequenceInsert", ["list", "h"], ["longer"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_sequence_value_info("list", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", BOOL, []),
            helper.make_tensor_sequence_value_info("longer", FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("SequenceEmpty", [], ["nothing"]),
        helper.make_node("Loop", ["trips", "", "nothing"], ["parts"], body=body),
        helper.make_node("ConcatFromSequence", ["parts"], ["all"], axis=0),
        product("all", "y"),
    ]
    weights = WEIGHT if trips is None else {**WEIGHT, "trips": np.asarray(trips)}
    inputs: dict[str, Dims] = {"x": [16, 8]}
    model = make_model(nodes, inputs, weights=weights)
    if trips is None:
        model.graph.input.append(helper.make_tensor_value_info("trips", INT64, []))
        with pytest.raises(InvalidModel, match="cannot infer the shapes"):
            features_of(model)
    else:
        assert features_of(model).flops == 2 * trips * ONE_PRODUCT


def test_a_sequence_map_runs_once_per_element() -> None:
    body = graph([product("each", "given")], {"given": FLOAT}, {"each": (FLOAT, None)})
    nodes = [
        helper.make_node("SplitToSequence", ["x", "size"], ["parts"], axis=0),
        helper.make_node("SequenceMap", ["parts"], ["mapped"], body=body),
        helper.make_node("ConcatFromSequence", ["mapped"], ["all"], axis=0),
        product("all", "y"),
    ]
    weights = {**WEIGHT, "size": np.asarray(16)}

    assert features_of(make_model(nodes, {"x": [48, 8]}, weights=weights)).flops == 6 * ONE_PRODUCT


def test_light_work_of_data_dependent_size_is_counted() -> None:
    nodes = [
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most"], ["found"]),
        helper.make_node("Cast", ["found"], ["y"], to=FLOAT),
    ]
    inputs: dict[str, Dims] = {"boxes": [1, 9, 4], "scores": [1, 2, 9]}
    model = make_model(nodes, inputs, weights={"most": np.asarray([3])})

    assert features_of(model).values["unshaped.nodes"] == 2


def test_a_data_dependent_size_can_be_given() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Transpose", ["where"], ["turned"]),
        helper.make_node("Cast", ["turned"], ["found"], to=FLOAT),
        helper.make_node("MatMul", ["found", "v"], ["y"]),
    ]
    model = make_model(nodes, {"x": [4, 4]}, weights={"v": np.ones((2, 8), np.float32)})

    with pytest.raises(InvalidModel, match="--shape where:1=SIZE"):
        features_of(model)
    assert features_of(model, **{"where:1": 12}).flops == 2 * 12 * 2 * 8


def test_declared_shapes_are_used_for_unknown_operators() -> None:
    nodes = [
        helper.make_node("Magic", ["x"], ["m"], domain="example.org"),
        product("m", "y"),
    ]
    model = make_model(nodes, {"x": [3, 3]}, weights=WEIGHT)
    model.opset_import.append(helper.make_opsetid("example.org", 1))

    with pytest.raises(InvalidModel):
        features_of(model)
    model.graph.value_info.append(helper.make_tensor_value_info("m", FLOAT, [16, 8]))

    assert features_of(model).flops == ONE_PRODUCT


def test_shapes_declared_for_another_batch_are_ignored() -> None:
    nodes = [
        helper.make_node("Magic", ["x"], ["m"], domain="example.org"),
        product("m", "y"),
    ]
    model = make_model(nodes, {"x": ["batch", 3]}, weights=WEIGHT)
    model.opset_import.append(helper.make_opsetid("example.org", 1))
    model.graph.value_info.append(helper.make_tensor_value_info("m", FLOAT, [1, 8]))

    with pytest.raises(InvalidModel):
        features_of(model, batch=16)
    model.graph.value_info[0].type.tensor_type.shape.dim[0].dim_param = "batch"

    assert features_of(model, batch=16).flops == ONE_PRODUCT


def test_local_functions_are_inlined() -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Relu", ["c"], ["d"])]
    opset = [helper.make_opsetid("", 17)]
    function = helper.make_function("example.org", "Dense", ["a", "b"], ["d"], body, opset)
    model = make_model(
        [helper.make_node("Dense", ["x", "w"], ["y"], domain="example.org")],
        {"x": [16, 8]},
        weights=WEIGHT,
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("example.org", 1))

    features = features_of(model)

    assert features.flops == ONE_PRODUCT
    assert features.operators == {"MatMul": 1, "Relu": 1}


def test_weights_of_a_subgraph_are_counted() -> None:
    heavy = graph([helper.make_node("MatMul", ["x", "own"], ["a"])], {"a": FLOAT})
    heavy.initializer.append(numpy_helper.from_array(np.ones((8, 4), np.float32), "own"))
    node = helper.make_node("If", ["c"], ["y"], then_branch=heavy, else_branch=heavy)

    features = features_of(make_model([node], {"x": [16, 8]}, weights={"c": np.asarray(True)}))

    assert features.parameters == 8 * 4
