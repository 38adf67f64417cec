import pytest

from acesniper.domain.completion import Completion
from acesniper.policies.placement import PLACEMENTS, ranked
from builders import make_device, make_prediction


def candidate(name: str, run_s: float, backlog_s: float = 0.0) -> Completion:
    return Completion(make_device(name), make_prediction(run_s), 1, backlog_s=backlog_s)


@pytest.mark.parametrize(
    ("placement", "best"),
    [
        pytest.param("mct", "idle", id="the first to finish"),
        pytest.param("met", "fast", id="the fastest, however busy"),
    ],
)
def test_a_placement_prefers_what_it_says(placement: str, best: str) -> None:
    candidates = [candidate("fast", 1.0, backlog_s=9.0), candidate("idle", 5.0)]

    assert ranked(candidates, PLACEMENTS[placement])[0].device.id == best


def test_a_busy_fast_device_is_worth_waiting_for() -> None:
    candidates = [candidate("slow", 10.0), candidate("fast", 1.0, backlog_s=2.0)]

    assert ranked(candidates, PLACEMENTS["mct"])[0].device.id == "fast"


def test_equals_are_settled_by_finish_then_by_name() -> None:
    candidates = [candidate("b", 1.0), candidate("a", 1.0), candidate("c", 1.0, backlog_s=1.0)]

    assert [each.device.id for each in ranked(candidates, PLACEMENTS["met"])] == ["a", "b", "c"]
