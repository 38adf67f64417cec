import pytest
from prometheus_client import CollectorRegistry

from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskStatus
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import MAX_MODELS, OperatorMetrics, count_deleted, count_phase
from builders import make_device_profile, make_itask, make_model_profile

FINISHED = {
    "type": "Finished",
    "status": "True",
    "reason": "Succeeded",
    "message": "",
    "lastTransitionTime": "1970-01-01T00:00:00Z",
}


def succeeded(latency_s: float = 1.0) -> InferenceTaskStatus:
    return InferenceTaskStatus.model_validate(
        {
            "phase": "Succeeded",
            "device": "d",
            "modelProfile": "model",
            "errorRatio": 0.2,
            "predicted": {
                "text": "",
                "latencySeconds": 1.0,
                "lowSeconds": 0.8,
                "highSeconds": 1.2,
                "waitSeconds": 0.0,
                "coldStartSeconds": 0.0,
                "runSeconds": 1.0,
                "finishTime": "1970-01-01T00:00:09Z",
            },
            "observed": {
                "text": "",
                "latencyMedianSeconds": latency_s,
                "containerSeconds": 2.0,
                "fetchSeconds": 1.0,
                "loadSeconds": 0.5,
                "waitSeconds": 2.0,
                "startTime": "1970-01-01T00:00:02Z",
                "finishTime": "1970-01-01T00:00:09Z",
            },
        }
    )


def counted(before: dict[str, object], after: InferenceTaskStatus) -> CollectorRegistry:
    registry, store = CollectorRegistry(), ObjectCache()
    store.upsert_device(make_device_profile("d", provider="cuda"))
    store.upsert_model(make_model_profile())
    task = InferenceTask.model_validate(make_itask(status=before, inferences=10))
    count_phase(OperatorMetrics.on(registry), store, task, after)
    return registry


def test_a_success_counts_its_times_and_the_prediction_error() -> None:
    registry = counted({"phase": "Running"}, succeeded())

    def sum_of(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"acesniper_{name}_sum", labels)

    assert sum_of("task_wait_seconds") == 2.0
    assert sum_of("task_response_seconds") == 9.0
    assert sum_of("task_run_seconds") == 7.0
    assert sum_of("task_load_seconds") == 0.5
    assert sum_of("task_cold_start_seconds") == 3.5
    assert sum_of("prediction_error_ratio", provider="cuda") == 0.2
    assert sum_of("device_prediction_error_ratio", device="d") == 0.2
    assert sum_of("model_prediction_error_ratio", model="default/model") == 0.2


def test_what_a_container_of_a_task_reports_is_no_prediction_error() -> None:
    status = succeeded(1e-6)
    assert status.observed is not None
    observed = status.observed.model_copy(update={"reported_by": "Container"})
    registry = counted({"phase": "Running"}, status.model_copy(update={"observed": observed}))

    for name in ("prediction_error_ratio", "prediction_intervals"):
        for suffix in ("_sum", "_total"):
            labels = {"provider": "cuda"}
            assert not registry.get_sample_value(f"acesniper_{name}{suffix}", labels)
    assert registry.get_sample_value("acesniper_task_run_seconds_sum", {}) == 7.0


def test_a_success_adds_the_predicted_and_the_observed_time() -> None:
    registry = counted({"phase": "Running"}, succeeded(1.25))

    by_provider = {"provider": "cuda"}
    predicted, observed = (
        registry.get_sample_value(f"acesniper_{which}_run_seconds_total", by_provider)
        for which in ("predicted", "observed")
    )
    assert (predicted, observed) == (10.0, 12.5)


@pytest.mark.parametrize(
    ("latency_s", "outcome"), [(0.7, "below"), (0.8, "inside"), (1.2, "inside"), (1.3, "above")]
)
def test_a_success_counts_its_position_in_the_interval(latency_s: float, outcome: str) -> None:
    registry = counted({"phase": "Running"}, succeeded(latency_s))

    labels = {"provider": "cuda", "outcome": outcome}
    assert registry.get_sample_value("acesniper_prediction_intervals_total", labels) == 1.0


def test_a_status_in_the_same_phase_counts_nothing() -> None:
    registry = counted({"phase": "Succeeded"}, succeeded())

    assert registry.get_sample_value("acesniper_task_wait_seconds_count") == 0.0


def test_a_failed_attempt_is_counted_by_its_reason() -> None:
    retrying = {
        "phase": "Pending",
        "attempts": 1,
        "conditions": [
            {
                "type": "Retrying",
                "status": "True",
                "reason": "PodLost",
                "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }
        ],
    }
    registry = counted({"phase": "Running"}, InferenceTaskStatus.model_validate(retrying))

    name = "acesniper_task_attempts_failed_total"
    assert registry.get_sample_value(name, {"reason": "PodLost"}) == 1.0


def test_an_ending_is_counted_by_reason_and_deadline() -> None:
    met = {**FINISHED, "type": "DeadlineMet", "status": "False", "reason": "DeadlineMissed"}
    status = {"phase": "Succeeded", "conditions": [FINISHED, met]}
    registry = counted({"phase": "Running"}, InferenceTaskStatus.model_validate(status))

    endings, deadlines = "acesniper_task_endings_total", "acesniper_task_deadlines_total"
    assert registry.get_sample_value(endings, {"reason": "Succeeded"}) == 1.0
    assert registry.get_sample_value(deadlines, {"outcome": "missed"}) == 1.0


@pytest.mark.parametrize(("phase", "number"), [("Running", 1.0), ("Failed", None)])
def test_a_task_deleted_before_its_end_counts_as_deleted(phase: str, number: float | None) -> None:
    registry = CollectorRegistry()
    task = InferenceTask.model_validate(make_itask(status={"phase": phase}))

    count_deleted(OperatorMetrics.on(registry), task)

    name = "acesniper_task_endings_total"
    assert registry.get_sample_value(name, {"reason": "Deleted"}) == number


def test_a_foreign_reason_is_no_label() -> None:
    registry = CollectorRegistry()
    metrics = OperatorMetrics.on(registry)
    task = InferenceTask.model_validate(make_itask(status={"phase": "Running"}))

    for number in range(50):
        foreign = {**FINISHED, "reason": f"Reason{number}\n"}
        status = InferenceTaskStatus.model_validate({"phase": "Failed", "conditions": [foreign]})
        count_phase(metrics, ObjectCache(), task, status)

    (family,) = (family for family in registry.collect() if family.name == "acesniper_task_endings")
    assert [sample.labels for sample in family.samples] == [{"reason": "unknown"}]


def test_models_of_a_namespace_beyond_a_number_share_a_series() -> None:
    registry, store = CollectorRegistry(), ObjectCache()
    metrics = OperatorMetrics.on(registry)
    store.upsert_device(make_device_profile("d"))
    names = [f"model-{number}" for number in range(MAX_MODELS + 50)]
    for name in names:
        store.upsert_model(make_model_profile(name))
    task = InferenceTask.model_validate(make_itask(status={"phase": "Running"}))

    for name in names:
        count_phase(metrics, store, task, succeeded().model_copy(update={"model_profile": name}))

    (family,) = (
        family
        for family in registry.collect()
        if family.name == "acesniper_model_prediction_error_ratio"
    )
    counts = {s.labels["model"]: s.value for s in family.samples if s.name.endswith("_count")}
    assert len(counts) == MAX_MODELS + 1
    assert counts["default/(other)"] == 50
