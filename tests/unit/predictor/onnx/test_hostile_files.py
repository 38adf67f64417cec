"""Small files that would cost a reader much: each is read, or refused for what it is.

Real time is no part of these tests: the reader's own limit of CPU time ends a file that costs more,
with another reason.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import MAX_AMOUNT, ModelFeatures
from acesniper.predictor.onnx.sandbox import ReadLimits, read_model
from hostile_models import functions, loops
from small_models import linear_model, make_model, save

LIMITS = ReadLimits(cpu_s=30)
node = helper.make_node
value = helper.make_tensor_value_info


def read(model: ModelProto, folder: Path, **shapes: int) -> ModelFeatures:
    return read_model(save(model, folder / "m.onnx"), shapes=shapes, limits=LIMITS)


def reason_of(model: ModelProto, folder: Path) -> str:
    with pytest.raises(InvalidModel) as caught:
        read(model, folder)
    assert len(str(caught.value)) < 1200
    return caught.value.reason


# --- functions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("in_branch", [False, True], ids=["row", "branch"])
def test_functions_that_multiply_are_refused_before_they_are_inlined(
    tmp_path: Path, in_branch: bool
) -> None:
    model = functions(depth=9, calls=7, in_branch=in_branch)

    assert len(model.SerializeToString()) < 6000
    assert reason_of(model, tmp_path) == "TooLarge"


def test_nested_functions_of_ordinary_size_are_read(tmp_path: Path) -> None:
    features = read(functions(depth=3, calls=4), tmp_path)

    assert features.operators == {"Relu": 64}


def test_an_attribute_that_functions_copy_counts_with_each_copy(tmp_path: Path) -> None:
    """100 functions refer 100 times each to a megabyte that the caller passes."""
    own = helper.make_opsetid("own", 1)
    big = helper.make_tensor("t", TensorProto.FLOAT, [1 << 18], b"\0" * (1 << 20), raw=True)
    model = make_model([node("F", ["x"], ["y"], domain="own", c=big)] * 1, {"x": [4]})
    model.opset_import.append(own)
    names = ["a", *(f"v{i}" for i in range(999)), "b"]
    chain = []
    for place, (x, y) in enumerate(pairwise(names)):
        constant = node("Constant", [], [f"c{place}"])
        reference = constant.attribute.add()
        reference.name, reference.ref_attr_name = "value", "c"
        reference.type = onnx.AttributeProto.TENSOR
        chain += [constant, node("Add", [x, f"c{place}"], [y])]
    opsets = [helper.make_opsetid("", 17), own]
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], chain, opsets, ["c"]))

    assert reason_of(model, tmp_path) == "TooLarge"


# --- loops ---------------------------------------------------------------------------------------


def test_nested_loops_are_walked_once_per_state(tmp_path: Path) -> None:
    model = loops(depth=12, captured=False)

    assert len(model.SerializeToString()) < 4000
    assert read(model, tmp_path).operators["Loop"] == 12


def test_loops_whose_states_multiply_are_refused(tmp_path: Path) -> None:
    assert reason_of(loops(depth=12, captured=True), tmp_path) == "TooLarge"


def test_trips_that_multiply_beyond_every_amount_are_refused(tmp_path: Path) -> None:
    model = loops(depth=8, captured=False)
    body = model.graph.node[0].attribute[0].g
    model.graph.initializer[0].raw_data = np.asarray(2**30, np.int64).tobytes()
    assert body.node

    assert reason_of(model, tmp_path) == "TooLarge"
    assert MAX_AMOUNT < 2.0 ** (30 * 8)


# --- shapes and folding --------------------------------------------------------------------------


def test_a_split_into_very_many_parts_stays_unknown(tmp_path: Path) -> None:
    nodes = [
        node("SplitToSequence", ["x"], ["s"], axis=0),
        node("SequenceLength", ["s"], ["n"]),
        node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
    ]

    features = read(make_model(nodes, {"x": [1 << 39]}), tmp_path)

    assert features.operators["SplitToSequence"] == 1


@pytest.mark.parametrize(
    ("op", "data", "argument", "options"),
    [
        ("Tile", np.ones((1, 1), np.int64), np.asarray([2**40, 0], np.int64), {}),
        ("Expand", np.ones(1, np.int64), np.asarray([2**38], np.int64), {}),
        ("Gather", np.ones((1, 4096), np.int64), np.zeros(4096, np.int64), {}),
    ],
    ids=["tile", "expand", "gather"],
)
def test_a_constant_with_a_huge_result_is_not_computed(
    tmp_path: Path, op: str, data: np.ndarray, argument: np.ndarray, options: dict[str, int]
) -> None:
    nodes = [
        *(node(op, ["d", "a"], [f"c{i}"], **options) for i in range(40)),
        node("Relu", ["x"], ["y"]),
    ]
    model = make_model(nodes, {"x": [4]}, weights={"d": data, "a": argument})

    features = read(model, tmp_path)

    assert features.operators["Relu"] == 1


def test_an_einsum_of_constants_is_not_computed(tmp_path: Path) -> None:
    """Six vectors of 4,000: 4,000 to the power of six steps for one number."""
    terms = "a,b,c,d,e,f->"
    einsum = node("Einsum", [f"w{letter}" for letter in "abcdef"], ["c"], equation=terms)
    weights = {f"w{letter}": np.ones(4000, np.float32) for letter in "abcdef"}
    model = make_model([einsum, node("Add", ["x", "c"], ["y"])], {"x": [4]}, weights=weights)

    assert read(model, tmp_path).operators == {"Add": 1}


def test_an_equation_of_any_length_is_read(tmp_path: Path) -> None:
    equation = "ab,bc->" + "a" * 3_000_000
    model = make_model(
        [node("Einsum", ["x", "w"], ["y"], equation=equation)],
        {"x": [4, 4]},
        weights={"w": np.ones((4, 4), np.float32)},
    )

    with pytest.raises(InvalidModel) as caught:
        read(model, tmp_path)
    assert caught.value.reason != "TimedOut"


@pytest.mark.parametrize("rank", [65, 300_000])
def test_a_tensor_with_too_many_dimensions_is_refused(tmp_path: Path, rank: int) -> None:
    model = make_model([node("Relu", ["x"], ["y"])], {"x": [2] * rank})

    assert reason_of(model, tmp_path) == "TooLarge"


def test_a_graph_nested_beyond_the_parser_is_refused(tmp_path: Path) -> None:
    """Written byte by byte, as ONNX's own functions do not nest that deep."""

    def field(number: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = helper.make_graph([node("Relu", ["x"], ["y"])], "g", [], []).SerializeToString()
    for _ in range(40):
        branch = field(1, b"then_branch") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(4, b"If") + field(1, b"x") + field(2, b"y") + field(5, branch))
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08" + field(8, b"\x10\x11") + field(7, graph))

    with pytest.raises(InvalidModel) as caught:
        read_model(path, limits=LIMITS)
    assert caught.value.reason == "NotOnnx"


# --- names and external data ---------------------------------------------------------------------


def test_the_name_of_an_operator_is_bounded_and_printable(tmp_path: Path) -> None:
    long = "\x1b[2J" + "q" * 2_000_000
    nodes = [
        node(long, ["x"], ["h"], domain="own"),
        *(node(f"Kind{i}", ["x"], [f"o{i}"], domain="own") for i in range(2_000)),
        node("Relu", ["x"], ["y"]),
    ]
    model = make_model(nodes, {"x": [4]})
    model.opset_import.append(helper.make_opsetid("own", 1))

    operators = read(model, tmp_path).operators

    assert len(operators) <= 257
    assert all(len(name) <= 100 and name.isprintable() for name in operators)
    assert sum(operators.values()) == 2_002


def test_a_name_in_a_message_is_bounded(tmp_path: Path) -> None:
    model = make_model([node("Relu", ["n\x1b]0;" + "m" * 500_000], ["y"])], {"x": [4]})

    with pytest.raises(InvalidModel) as caught:
        read(model, tmp_path)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1200


def external(entries: Sequence[tuple[str, str]]) -> ModelProto:
    model = make_model(
        [node("Add", ["x", "w"], ["y"])], {"x": [4]}, weights={"w": np.ones(4, np.float32)}
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in entries:
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    return model


@pytest.mark.parametrize("location", ["w\0.bin", "\0", "a" * 70_000 + "/../../x"])
def test_a_location_that_is_no_path_is_outside(tmp_path: Path, location: str) -> None:
    assert reason_of(external([("location", location)]), tmp_path) == "ExternalDataOutside"


@pytest.mark.parametrize(
    "offset",
    [str(2**63), str(2**64), "9" * 6_000, "-1", "1e3", "\u0661", "0x10", "", "nine", " 4", "1_000"],
)
def test_an_offset_that_is_no_place_leaves_the_value_unknown(tmp_path: Path, offset: str) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 64)
    model = external([("location", "w.bin"), ("offset", offset), ("length", "16")])

    assert read(model, tmp_path).operators == {"Add": 1}


def test_a_loop_of_links_is_outside(tmp_path: Path) -> None:
    (tmp_path / "w.bin").symlink_to("v.bin")
    (tmp_path / "v.bin").symlink_to("w.bin")

    assert reason_of(external([("location", "w.bin")]), tmp_path) == "ExternalDataOutside"


def test_a_file_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"<html>")

    with pytest.raises(InvalidModel) as caught:
        read_model(path)

    assert re.fullmatch(r"bad\.onnx: not an ONNX file: .*", str(caught.value))


@pytest.mark.parametrize("text", [b"linear", b"batch", b"MatMul"], ids=str)
def test_a_text_that_is_not_utf_8_is_refused(tmp_path: Path, text: bytes) -> None:
    """In the name of a dimension, of a value or of an operator."""
    path = tmp_path / "m.onnx"
    data = linear_model("linear").SerializeToString().replace(b"small", b"batch")
    path.write_bytes(data.replace(text, b"\xff" * len(text)))

    with pytest.raises(InvalidModel) as caught:
        read_model(path, limits=LIMITS)
    assert caught.value.reason == "NotOnnx"
