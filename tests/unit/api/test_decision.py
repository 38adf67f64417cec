import json

import pytest

from acesniper.api.decision import Decision
from acesniper.domain.prediction import FinishEstimate
from builders import make_device, make_prediction, make_task


def decision(*candidates: FinishEstimate) -> Decision:
    return Decision.of(make_task().key, candidates, 5.0, "fcfs-mct", {"d9": "too small"})


def completion(name: str, backlog_s: float = 0.0, cold_start_s: float = 0.0) -> FinishEstimate:
    return FinishEstimate(
        make_device(name),
        make_prediction(0.05),
        20,
        backlog_s=backlog_s,
        cold_start_s=cold_start_s,
        transfer_s=0.0,
    )


def test_a_decision_says_the_sum_of_the_best_and_then_the_others() -> None:
    made = decision(completion("d1", backlog_s=2.0, cold_start_s=0.5), completion("d2"))

    assert made.sentence() == (
        "node-d1 3.5 s (backlog 2 s + cold start 500 ms + 20 x 50 ms); "
        "then node-d2 1 s (20 x 50 ms)"
    )


def test_a_decision_without_candidates_says_that_nothing_was_known() -> None:
    made = Decision(decided_at=0.0, policy="fcfs-mct")

    assert made.sentence() == "no prediction; placed as the stock scheduler would"


def test_a_decision_comes_back_from_its_annotation() -> None:
    made = decision(completion("d1"), completion("d2", backlog_s=1.0))

    assert Decision.read(made.model_dump_json(by_alias=True)) == made


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no json",
        "[]",
        "{}",
        pytest.param(
            '{"decidedAt": 0, "policy": "x", "candidates": [{"device": "d"}]}', id="terms missing"
        ),
        pytest.param(
            decision(completion("d1"))
            .model_dump_json(by_alias=True)
            .replace('"runSeconds":1.0', '"runSeconds":-1.0'),
            id="negative",
        ),
        pytest.param(
            decision(completion("d1"))
            .model_dump_json(by_alias=True)
            .replace('"runSeconds":1.0', '"runSeconds":1e999'),
            id="infinite",
        ),
    ],
)
def test_what_anyone_could_have_written_into_the_annotation_is_no_decision(
    text: str | None,
) -> None:
    assert Decision.read(text) is None


def test_the_wire_is_camel_case() -> None:
    made = decision(completion("d1")).model_dump(by_alias=True)

    assert set(made) == {
        *("task", "decidedAt", "policy", "candidates", "refused", "answered"),
        *("pullsImage", "fetchesModel"),
    }
    assert set(made["candidates"][0]) >= {"latencySeconds", "backlogSeconds", "finishSeconds"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("inferences", -1), ("inferences", 10**400), ("runSeconds", 1e308), ("runSeconds", -1.0)],
)
def test_a_decision_with_invalid_numbers_is_ignored(field: str, value: float) -> None:
    written = json.loads(decision(completion("d1")).model_dump_json(by_alias=True))
    written["candidates"][0][field] = value

    assert Decision.read(json.dumps(written)) is None
