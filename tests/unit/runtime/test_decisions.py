import pytest

from acesniper.api.decision import Decision
from acesniper.api.names import PODS
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.domain.prediction import FinishEstimate
from acesniper.runtime.decisions import decision_about
from builders import make_device, make_itask, make_pod, make_prediction, make_task
from fake_cluster import FakeCluster


def decided(device: str) -> Decision:
    best = FinishEstimate(make_device(device), make_prediction(0.05), 20)
    return Decision.of(make_task().key, [best], 5.0, "fcfs-mct", {"d9": "too small"})


KEPT = decided("kept").record().model_dump(by_alias=True)


@pytest.mark.parametrize(
    ("phase", "kept", "carried", "found"),
    [
        pytest.param("Running", KEPT, decided("carried"), "carried", id="the pod's is the newest"),
        pytest.param("Running", KEPT, "{}", "kept", id="the pod's cannot be read"),
        pytest.param("Succeeded", KEPT, decided("carried"), "kept", id="the task has finished"),
        pytest.param("Pending", None, None, None, id="nothing was decided"),
    ],
)
async def test_the_decision_is_on_the_pod_and_then_in_the_status(
    phase: str, kept: object, carried: Decision | str | None, found: str | None
) -> None:
    cluster = FakeCluster()
    await cluster.create(PODS, make_pod("pod", decision=carried), "default")
    status = {"phase": phase, "pod": "pod", **({"decision": kept} if kept else {})}
    task = InferenceTask.model_validate(make_itask(status=status))

    decision = await decision_about(cluster, task)

    assert (decision.candidates[0].device if decision else None) == found


async def test_the_status_tells_once_the_pod_is_gone() -> None:
    status = {"phase": "Running", "pod": "gone", "decision": KEPT}
    task = InferenceTask.model_validate(make_itask(status=status))

    decision = await decision_about(FakeCluster(), task)

    assert decision is not None
    assert decision.refused == {"d9": "too small"}
