import gzip
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.measurements import TableColumns, read_table
from acesniper.predictor.tables.model_sources import aligned, cell_operators, read_features
from acesniper.predictor.tables.ncnn import read_ncnn_param
from acesniper.predictor.tables.operators import SIZES, ModelTraits, TraitOperator, count_operators
from small_models import linear_model, make_model, save

ROWS = (
    "device,unit,model,latency_ms\n"
    "pi,cpu,a,10\npi,cpu,a,30\npi,cpu,a,20\npi,gpu,b,fail\npi,gpu,a,5\n"
)


def sizes(operator: TraitOperator) -> dict[str, float]:
    return dict(zip(SIZES, operator.sizes, strict=True))


def test_a_cell_is_the_median_of_its_readings_and_columns_join(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(ROWS.encode()))

    table = read_table(path, TableColumns(("device", "unit")))

    assert table.devices == ("pi|cpu", "pi|gpu")
    assert np.exp(table.log_ms).ravel() == pytest.approx([20.0, 5.0])


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        pytest.param(ROWS, TableColumns(latency="ms"), "no column ms", id="missing column"),
        pytest.param("", TableColumns(), "has no row", id="empty"),
        pytest.param(
            ROWS.replace(",", ";"), TableColumns(), "but device;unit", id="other separator"
        ),
        pytest.param("device,model,latency_ms\np,a,x\n", TableColumns(), "no row", id="no number"),
    ],
)
def test_a_table_without_usable_cells_is_rejected(
    tmp_path: Path, text: str, columns: TableColumns, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)

    with pytest.raises(InvalidInput, match=message):
        read_table(path, columns)


def test_a_short_row_is_a_gap_and_a_name_may_contain_a_line_break(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('model,device,latency_ms\na,"pi\n4",7\nb,"pi\n4"\n\nb\na,x\u2028y,8,more\n')

    table = read_table(path, TableColumns())

    assert table.devices == ("pi\n4", "x\u2028y")
    assert table.models == ("a",)


def test_a_list_of_operators_gives_their_sizes(tmp_path: Path) -> None:
    path = tmp_path / "ops.csv"
    shapes = (
        "{'Input_shape': '8', 'Input_channel': 3, 'Output_shape': '4', 'Stride': '2',"
        " 'Kernel': '3', 'Filter': '16', 'Group': '1', 'FLOPS': '6912'}"
    )
    path.write_text(f'model,operation,feature\nnet,CONV_2D,"{shapes}"\n')

    (result,) = read_features(path)["net"].operators

    assert sizes(result) == {
        **{"flops": 6912, "read": 8 * 8 * 3, "written": 4 * 4 * 16},
        **{"weights": 9 * 3 * 16, "kernel": 3, "stride": 2, "groups": 1},
    }


@pytest.mark.parametrize(
    ("operation", "shapes", "kind", "expected"),
    [
        pytest.param(
            "vulkan_prepack::run_conv2d_context",
            "{'input_channel': 8, 'input_shape': 4, 'output_channel': 8, 'output_shape': 4,"
            " 'kernel_size': 5, 'flops': 3200, 'filter_size': 200}",
            "depthwise",
            {"weights": 200, "groups": 8, "kernel": 5},
            id="depthwise without groups",
        ),
        pytest.param(
            "CONV_2D_GROUP",
            "{'Input_shape': '4', 'Input_channel': 8, 'Output_shape': '4', 'Kernel': '3',"
            " 'Filter': '8', 'Group': '2', 'FLOPS': '9216'}",
            "grouped",
            {"weights": 9 * 4 * 8, "groups": 2},
            id="grouped",
        ),
        pytest.param(
            "CONCATENATION",
            "{'Input_shape': '7', 'Input_channel': 8, 'Output_shape': '7', 'Kernel': '3',"
            " 'Filter': '24'}",
            "CONCATENATION",
            {"read": 49 * 24, "written": 49 * 24, "weights": 0},
            id="concatenation reads all that it writes",
        ),
        pytest.param(
            "FULLY_CONNECTED",
            "{'Input_shape': '-', 'Input_channel': 20, 'Filter': '10', 'FLOPS': '400'}",
            "FULLY_CONNECTED",
            {"read": 20, "written": 10, "weights": 200},
            id="product",
        ),
        pytest.param(
            "MEAN",
            "{'Input_shape': '7', 'Input_channel': 20, 'Output_shape': '20', 'FLOPS': '980'}",
            "MEAN",
            {"read": 980, "written": 20, "weights": 0},
            id="mean",
        ),
    ],
)
def test_sizes_missing_from_a_list_are_derived(
    tmp_path: Path, operation: str, shapes: str, kind: str, expected: dict[str, float]
) -> None:
    path = tmp_path / "ops.csv"
    path.write_text(f'model,operation,feature\nnet,{operation},"{shapes}"\n')

    (result,) = read_features(path)["net"].operators

    assert result.kind.endswith(kind)
    assert sizes(result).items() >= expected.items()


@pytest.mark.parametrize("hints", [True, False])
def test_ncnn_layers_with_and_without_hints(tmp_path: Path, hints: bool) -> None:
    hint = "-23330=4,3,4,4,16" if hints else ""
    path = tmp_path / "net.param"
    path.write_text(
        "7767517\n4 4\n"
        "Input data 0 1 data 0=8 1=8 2=3\n"
        f"Convolution c 1 1 data c {hint} 0=16 1=3 3=2 4=1 5=1 6=432\n"
        "Pooling p 1 1 c p 0=1 4=1\n"
        "InnerProduct f 1 1 p f 0=10 1=1 2=160\n"
    )

    conv, _, product = read_ncnn_param(path)

    assert sizes(conv) | {"stride": 2} == {
        **{"flops": 432 * 16, "read": 192, "written": 256},
        **{"weights": 432, "kernel": 3, "stride": 2, "groups": 1},
    }
    assert sizes(product)["flops"] == 160


def test_ncnn_tokens_keep_their_number_without_hints(tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_text(
        "7767517\n8 8\n"
        "Input data 0 1 data 0=64 1=64 2=3\n"
        "MemoryData first 0 1 first 0=8 1=1\n"
        "Convolution c 1 1 data c 0=8 1=32 3=32 6=24576\n"
        "Reshape r 1 1 c r 0=-1 1=8\n"
        "Permute p 1 1 r p 0=1\n"
        "Concat t 2 1 first p t 0=0\n"
        "MultiHeadAttention a 1 1 t a 0=8 1=2 2=64\n"
        "Gemm g 1 1 a g 8=32 9=8\n"
    )

    *_, attention, product = read_ncnn_param(path)

    assert sizes(attention)["flops"] == 4 * 64 * 5 + 2 * 5 * 5 * 8
    assert sizes(product)["flops"] == 32 * 8 * 5
    assert sizes(product)["written"] == 32 * 5


def test_dead_edges_of_a_cell_have_separate_kinds() -> None:
    # 0 -> 1 is a 3x3 convolution, but nothing leaves 1; 0 -> 3 is a 1x1 convolution
    operators, values = cell_operators("300200")

    kinds = {operator.kind for operator in operators}
    assert {kind for kind in kinds if not kind.startswith("dead")} == {"conv1x1", "first conv1x1"}
    assert {"dead conv3x3", "dead none"} <= kinds
    assert values["depth"] == 1


def test_columns_that_vary_within_a_model_are_not_features(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("model,params,latency_ms\na,3,10\na,3,20\nb,4,11\n")

    features = read_features(path)

    assert features["a"].values == {"params": 3.0}
    assert features["b"].values == {"params": 4.0}


def test_a_file_may_describe_models_by_the_first_column_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("model,params\na,3\nb,4\n")

    features = aligned(read_features(path, ("model", "runtime")), ["a|x", "a|y", "b|x"])

    assert [traits.values["params"] for traits in features] == [3.0, 3.0, 4.0]


def test_an_onnx_file_is_described_by_its_classes(tmp_path: Path) -> None:
    save(linear_model(), tmp_path / "linear.onnx")

    features = read_features(tmp_path)["linear"]

    assert sum(operator.count for operator in features.operators) >= 1


def test_an_unreadable_file_of_a_folder_is_skipped(tmp_path: Path) -> None:
    save(linear_model(), tmp_path / "linear.onnx")
    node = helper.make_node("Relu", ["x"], ["y"])
    save(make_model([node], {"x": ["batch", "time", 8]}), tmp_path / "open.onnx")
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    messages: list[str] = []

    features = read_features(tmp_path, left_out=messages.append)
    sized = read_features(tmp_path, shapes={"time": 4}, left_out=messages.append)

    assert set(features) == {"linear"}
    assert set(sized) == {"linear", "open"}
    assert ["open.onnx" in message for message in messages] == [True, False, False], messages
    assert "--shape time=SIZE" in messages[0]


def test_a_model_without_features_takes_those_of_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("model,params\nresnet18,3\nvit_base,9\n")
    features = read_features(path)

    result = aligned(features, ["resnet18|224", "resnet34|224", "vit_base"])

    assert [traits.values["params"] for traits in result] == [3.0, 3.0, 9.0]


def test_features_of_other_models_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="none of the table's models"):
        aligned({}, ["a"])


def test_equal_operators_are_counted_together() -> None:
    operators, _ = cell_operators("333333")

    table = count_operators([ModelTraits(operators)])

    assert table.counts.sum() == sum(operator.count for operator in operators)
    assert len(table.kinds) == len({(operator.kind, operator.sizes) for operator in operators})
