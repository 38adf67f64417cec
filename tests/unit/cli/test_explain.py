import pytest
from rich.console import Console

from acesniper.api.decision import Decision
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.cli.explain import ExplainedTask, candidate_table, explained_record, summary
from acesniper.domain.prediction import FinishEstimate
from builders import make_device, make_itask, make_prediction, make_task


def decided(name: str) -> Decision:
    best = FinishEstimate(make_device(name), make_prediction(0.05), 20, 2.0, 0.5, 0.0)
    next_best = FinishEstimate(make_device("d2"), make_prediction(0.2), 20)
    refused = {"d9": "the model needs 900 MiB, the device has 512"}
    return Decision.of(make_task().key, [best, next_best], 5.0, "fcfs-mct", refused)


def task(**status: object) -> InferenceTask:
    return InferenceTask.model_validate(make_itask(status=dict(status)))


def printed(decision: Decision) -> str:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(candidate_table(decision))
    return capture.get()


def test_all_terms_of_all_candidates_are_shown_the_chosen_first() -> None:
    lines = printed(decided("d1")).splitlines()

    (first,) = [line for line in lines if "d1 on node-d1" in line]
    (second,) = [line for line in lines if "d2 on node-d2" in line]
    assert lines.index(first) < lines.index(second)
    for term in ("2 s", "500 ms", "20 x", "50 ms", "25 ms to 100 ms", "3.5 s"):
        assert term in first


def test_the_json_record_has_the_terms_and_the_sentence() -> None:
    explained = ExplainedTask(task(phase="Running", message="runs on node-d1"), decided("d1"))

    record = explained_record(explained)

    assert record["task"] == "default/task"
    assert record["phase"] == "Running"
    decision = record["decision"]
    assert isinstance(decision, dict)
    assert decision["candidates"][0]["backlogSeconds"] == 2.0
    assert str(record["text"]).startswith("node-d1 3.5 s (backlog 2 s + cold start 500 ms")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "default/task: Pending.\nno decision yet"),
        (
            {"phase": "Running", "message": "runs on n", "node": "n"},
            "default/task: Running. runs on n\nplaced without a prediction",
        ),
    ],
)
def test_a_task_without_a_decision_has_a_summary(status: dict[str, object], expected: str) -> None:
    assert summary(ExplainedTask(task(**status), None)) == expected
