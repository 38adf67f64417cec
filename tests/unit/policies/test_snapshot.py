import pytest

from acesniper.domain.prediction import FinishEstimate
from builders import make_device, make_prediction, make_snapshot


@pytest.mark.parametrize(
    ("slots", "busy_s", "free_s"),
    [
        pytest.param(1, [], [0.0], id="idle"),
        pytest.param(1, [5.0], [5.0], id="busy"),
        pytest.param(2, [5.0], [0.0, 5.0], id="one of two is free"),
        pytest.param(2, [5.0, 2.0], [2.0, 5.0], id="the sooner first"),
        pytest.param(1, [5.0, 2.0], [7.0], id="more pods than slots queue"),
        pytest.param(2, [1.0, 2.0, 3.0], [2.0, 4.0], id="the third waits for the first"),
        pytest.param(4, [1.0], [0.0, 0.0, 0.0, 1.0], id="three of four are free"),
    ],
)
def test_a_slot_is_free_when_its_queue_is_done(
    slots: int, busy_s: list[float], free_s: list[float]
) -> None:
    device = make_device("d1", slots=slots)
    snapshot = make_snapshot([make_device("d0"), device], busy={"d1": busy_s})

    assert snapshot.free_s().tolist() == [0.0, *free_s]


def test_a_finish_is_the_sum_of_its_terms() -> None:
    completion = FinishEstimate(
        make_device(),
        make_prediction(0.5),
        inferences=10,
        backlog_s=3.0,
        cold_start_s=2.0,
        transfer_s=1.0,
    )

    assert completion.run_s == 5.0
    assert completion.busy_s == 8.0
    assert completion.finish_s == 11.0
