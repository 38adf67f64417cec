import pytest

from acesniper.api.decision import Decision
from acesniper.api.names import PODS
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.domain.prediction import FinishEstimate
from acesniper.runtime.decisions import decision_about
from builders import make_device, make_itask, make_pod, make_prediction, make_task
from fake_cluster import FakeCluster


def make_decision(device: str) -> Decision:
    best = FinishEstimate(make_device(device), make_prediction(0.05), 20)
    return Decision.of(make_task().key, [best], 5.0, "fcfs-mct", {"d9": "too small"})


RECORDED = make_decision("recorded").record().model_dump(by_alias=True)


@pytest.mark.parametrize(
    ("phase", "recorded", "annotated", "expected"),
    [
        pytest.param(
            "Running",
            RECORDED,
            make_decision("annotated"),
            "annotated",
            id="the annotation of the pod is newer",
        ),
        pytest.param("Running", RECORDED, "{}", "recorded", id="the annotation cannot be parsed"),
        pytest.param(
            "Succeeded",
            RECORDED,
            make_decision("annotated"),
            "recorded",
            id="the task has finished",
        ),
        pytest.param("Pending", None, None, None, id="no decision"),
    ],
)
async def test_the_decision_is_read_from_the_pod_and_then_from_the_status(
    phase: str, recorded: object, annotated: Decision | str | None, expected: str | None
) -> None:
    cluster = FakeCluster()
    await cluster.create(PODS, make_pod("pod", decision=annotated), "default")
    status = {"phase": phase, "pod": "pod", **({"decision": recorded} if recorded else {})}
    task = InferenceTask.model_validate(make_itask(status=status))

    decision = await decision_about(cluster, task)

    assert (decision.candidates[0].device if decision else None) == expected


async def test_the_decision_is_read_from_the_status_once_the_pod_is_gone() -> None:
    status = {"phase": "Running", "pod": "gone", "decision": RECORDED}
    task = InferenceTask.model_validate(make_itask(status=status))

    decision = await decision_about(FakeCluster(), task)

    assert decision is not None
    assert decision.refused == {"d9": "too small"}
