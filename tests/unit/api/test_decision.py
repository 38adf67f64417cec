import json
from pathlib import Path

import pytest

from acesniper.api.decision import Decision
from acesniper.api.objects import KEY_BYTES, DecisionKey, PodView
from acesniper.domain.errors import InvalidInput
from acesniper.domain.prediction import FinishEstimate
from builders import TEST_KEY, make_device, make_pod, make_prediction, make_task


def make_decision(*candidates: FinishEstimate) -> Decision:
    return Decision.of(make_task().key, candidates, 5.0, "fcfs-mct", {"d9": "too small"})


def finish_estimate(name: str, backlog_s: float = 0.0, cold_start_s: float = 0.0) -> FinishEstimate:
    return FinishEstimate(
        make_device(name),
        make_prediction(0.05),
        20,
        backlog_s=backlog_s,
        cold_start_s=cold_start_s,
        transfer_s=0.0,
    )


def test_a_decision_lists_the_terms_of_the_best_candidate_then_the_others() -> None:
    decision = make_decision(
        finish_estimate("d1", backlog_s=2.0, cold_start_s=0.5), finish_estimate("d2")
    )

    assert decision.sentence() == (
        "node-d1 3.5 s (backlog 2 s + cold start 500 ms + 20 x 50 ms); "
        "then node-d2 1 s (20 x 50 ms)"
    )


def test_a_decision_without_candidates_says_there_is_no_prediction() -> None:
    decision = Decision(decided_at=0.0, policy="fcfs-mct")

    assert decision.sentence() == "no prediction; placed as the stock scheduler would"


def test_a_decision_round_trips_through_its_annotation() -> None:
    decision = make_decision(finish_estimate("d1"), finish_estimate("d2", backlog_s=1.0))

    assert Decision.read(decision.model_dump_json(by_alias=True)) == decision


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no json",
        "[]",
        "{}",
        pytest.param(
            '{"decidedAt": 0, "policy": "x", "candidates": [{"device": "d"}]}', id="missing terms"
        ),
        pytest.param(
            make_decision(finish_estimate("d1"))
            .model_dump_json(by_alias=True)
            .replace('"runSeconds":1.0', '"runSeconds":-1.0'),
            id="negative",
        ),
        pytest.param(
            make_decision(finish_estimate("d1"))
            .model_dump_json(by_alias=True)
            .replace('"runSeconds":1.0', '"runSeconds":1e999'),
            id="infinite",
        ),
    ],
)
def test_an_invalid_annotation_is_ignored(
    text: str | None,
) -> None:
    assert Decision.read(text) is None


def test_a_decision_is_serialised_in_camel_case() -> None:
    decision = make_decision(finish_estimate("d1")).model_dump(by_alias=True)

    assert set(decision) == {
        "task",
        "decidedAt",
        "policy",
        "candidates",
        "refused",
        "answered",
        "pullsImage",
        "fetchesModel",
    }
    assert set(decision["candidates"][0]) >= {"latencySeconds", "backlogSeconds", "finishSeconds"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("inferences", -1), ("inferences", 10**400), ("runSeconds", 1e308), ("runSeconds", -1.0)],
)
def test_a_decision_with_invalid_numbers_is_ignored(field: str, value: float) -> None:
    content = json.loads(make_decision(finish_estimate("d1")).model_dump_json(by_alias=True))
    content["candidates"][0][field] = value

    assert Decision.read(json.dumps(content)) is None


def test_a_signed_decision_counts_for_its_own_pod_only() -> None:
    signed = PodView.of(make_pod("one", device="d1", decision="{}"))
    copied = make_pod("two")
    copied["metadata"]["annotations"] = TEST_KEY.annotations(signed.uid, "d1", "{}")

    assert TEST_KEY.verified(signed) == signed
    assert TEST_KEY.verified(PodView.of(copied)).device is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "d2"),
        ("decision", '{"policy": "other"}'),
        ("decision-signature", ""),
        ("decision-signature", "\ud800 not ASCII"),
    ],
)
def test_a_changed_annotation_voids_device_and_decision(name: str, value: str) -> None:
    pod = make_pod(device="d1", decision="{}")
    pod["metadata"]["annotations"][f"acesniper.io/{name}"] = value

    view = TEST_KEY.verified(PodView.of(pod))

    assert (view.device, view.decision) == (None, None)


def test_each_process_without_a_key_file_has_its_own_key() -> None:
    pod = PodView.of(make_pod(device="d1"))

    assert DecisionKey.random().verified(pod).device is None


def test_a_key_that_is_too_short_or_missing_is_reported_with_its_file(tmp_path: Path) -> None:
    short = tmp_path / "key"
    short.write_bytes(b"x" * (KEY_BYTES - 1) + b"\n")

    for path in (short, tmp_path / "absent"):
        with pytest.raises(InvalidInput, match=str(path)):
            DecisionKey.of_file(path)
