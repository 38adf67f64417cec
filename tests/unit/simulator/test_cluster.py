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


def test_the_largest_block_without_a_gap_is_used() -> None:
    rows, columns = largest_block(GAPPY, 1)

    assert rows.tolist() == [0, 2, 3]
    assert columns.tolist() == [0, 1]


def test_more_devices_share_fewer_models() -> None:
    rows, columns = largest_block(
        make_table([[1.0, 2.0, 3.0], [GAP, GAP, 4.0], [5.0, 6.0, 7.0]]), 3
    )

    assert rows.tolist() == [0, 1, 2]
    assert columns.tolist() == [2]


def test_nothing_is_invented() -> None:
    cluster = select_cluster(GAPPY, None, 1)

    np.testing.assert_allclose(cluster.latency_s, [[1e-3, 2e-3], [5e-3, 6e-3], [8e-3, 9e-3]])


def test_devices_that_share_no_model_make_no_block_of_all() -> None:
    rows, columns = largest_block(make_table([[1.0, GAP], [GAP, 2.0]]), 2)

    assert len(rows) == len(columns) == 1


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no device"):
        largest_block(make_table([[GAP]]), 1)


def test_every_group_is_there_before_one_comes_twice() -> None:
    names = ("a|cpu", "a|gpu", "a|npu", "b|cpu", "c|cpu", "c|gpu")
    table = make_table([[1.0]] * 6, names)

    groups = [device_group(device.id) for device in select_cluster(table, 3, 5).devices]

    assert sorted(groups) == ["a", "b", "c"]


def test_seeds_draw_different_devices_and_the_same_seed_the_same() -> None:
    table = make_table([[float(i + 1)] for i in range(20)])
    drawn = [[device.id for device in select_cluster(table, 5, seed).devices] for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1] != drawn[2]


def test_more_devices_than_there_are_come_again_under_other_names() -> None:
    cluster = select_cluster(make_table([[1.0], [2.0]]), 5, 1)

    assert len({device.id for device in cluster.devices}) == 5
    assert sorted(cluster.rows.tolist()) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_capacity_is_the_sum_over_devices_of_one_by_the_mean_run() -> None:
    cluster = select_cluster(make_table([[100.0, 300.0], [500.0, 500.0]]), None, 1)

    assert cluster.capacity_per_s(10) == pytest.approx(1 / 2.0 + 1 / 5.0)
