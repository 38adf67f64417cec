import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.measurements import MeasuredTable, device_group
from acesniper.simulator.cluster import largest_block, select_cluster

GAP = np.nan


def make_table(cells: list[list[float]], devices: tuple[str, ...] = ()) -> MeasuredTable:
    names = devices or tuple(f"board-{chr(97 + i)}" for i in range(len(cells)))
    return MeasuredTable(
        names, tuple(f"m{i}" for i in range(len(cells[0]))), np.log(np.array(cells))
    )


GAPPY = make_table([[1.0, 2.0, 3.0], [GAP, GAP, 4.0], [5.0, 6.0, 7.0], [8.0, 9.0, GAP]])


def test_the_largest_complete_block_is_used() -> None:
    rows, columns = largest_block(GAPPY, 1)

    assert rows.tolist() == [0, 2, 3]
    assert columns.tolist() == [0, 1]


def test_more_devices_share_fewer_models() -> None:
    rows, columns = largest_block(
        make_table([[1.0, 2.0, 3.0], [GAP, GAP, 4.0], [5.0, 6.0, 7.0]]), 3
    )

    assert rows.tolist() == [0, 1, 2]
    assert columns.tolist() == [2]


def test_a_cluster_contains_only_measured_latencies() -> None:
    cluster = select_cluster(GAPPY, None, 1)

    np.testing.assert_allclose(cluster.latency_s, [[1e-3, 2e-3], [5e-3, 6e-3], [8e-3, 9e-3]])


def test_devices_without_a_common_model_form_no_common_block() -> None:
    rows, columns = largest_block(make_table([[1.0, GAP], [GAP, 2.0]]), 2)

    assert len(rows) == len(columns) == 1


def test_an_empty_table_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="no device"):
        largest_block(make_table([[GAP]]), 1)


def test_every_group_is_selected_before_any_is_repeated() -> None:
    names = ("a|cpu", "a|gpu", "a|npu", "b|cpu", "c|cpu", "c|gpu")
    table = make_table([[1.0]] * 6, names)

    groups = [device_group(device.id) for device in select_cluster(table, 3, 5).devices]

    assert sorted(groups) == ["a", "b", "c"]


def test_selection_depends_only_on_the_seed() -> None:
    table = make_table([[float(i + 1)] for i in range(20)])
    selected = [
        [device.id for device in select_cluster(table, 5, seed).devices] for seed in (1, 1, 2)
    ]

    assert selected[0] == selected[1] != selected[2]


def test_devices_beyond_the_table_are_repeated_under_new_names() -> None:
    cluster = select_cluster(make_table([[1.0], [2.0]]), 5, 1)

    assert len({device.id for device in cluster.devices}) == 5
    assert sorted(cluster.rows.tolist()) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_capacity_is_the_sum_of_the_inverse_mean_run_times() -> None:
    cluster = select_cluster(make_table([[100.0, 300.0], [500.0, 500.0]]), None, 1)

    assert cluster.capacity_per_s(10) == pytest.approx(1 / 2.0 + 1 / 5.0)
