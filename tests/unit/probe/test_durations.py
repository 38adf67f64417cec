import sys

import pytest

from acesniper.probe.runner import MAX_KEPT, Durations


@pytest.mark.parametrize("count", [1, 10, MAX_KEPT - 1, MAX_KEPT, MAX_KEPT + 1, 5 * MAX_KEPT])
def test_quantiles_are_those_of_all_runs_however_many(count: int) -> None:
    durations = Durations()
    for number in range(count):
        durations.add(float(number))

    assert durations.count == count
    for share in (0.5, 0.9):
        assert durations.quantile(share) == pytest.approx(share * (count - 1), rel=1e-3)


def test_ten_times_as_many_runs_take_no_more_memory() -> None:
    durations = Durations()
    for _ in range(10 * MAX_KEPT):
        durations.add(1.0)

    assert sys.getsizeof(durations._kept) <= 2 * sys.getsizeof([1.0] * MAX_KEPT)
