import json
from pathlib import Path

from prometheus_client import CollectorRegistry

from acesniper.extender.metrics import VERDICT_FILE, ModelMetrics
from acesniper.predictor.factory import SHIPPED, ReplaceablePredictor


def samples(folder: Path) -> dict[str, float]:
    """Return the value of each sample that Prometheus scrapes, by name and labels."""
    registry = CollectorRegistry()
    ModelMetrics.on(registry, ReplaceablePredictor(folder / "pcn.onnx"))
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_which_network_serves_is_a_metric(tmp_path: Path) -> None:
    assert samples(tmp_path) == {
        f"acesniper_network_info {SHIPPED}": 1,
        "acesniper_network_refused": 0,
    }


def test_the_last_retraining_is_a_metric(tmp_path: Path) -> None:
    figures = {"mean_log_error": 0.1, "coverage90_pct": 90.0}
    verdict = {
        "verdict": "not better",
        "certainty": 0.4,
        "old": {**figures, "median_error_pct": 5.0},
        "new": {**figures, "median_error_pct": 6.0},
    }
    (tmp_path / VERDICT_FILE).write_text(json.dumps(verdict))

    found = samples(tmp_path)

    assert found["acesniper_retraining_better"] == 0
    assert found["acesniper_retraining_certainty_ratio"] == 0.4
    assert found["acesniper_retraining_error_ratio old"] == 0.05
    assert found["acesniper_retraining_error_ratio new"] == 0.06


def test_an_invalid_verdict_yields_no_metric(tmp_path: Path) -> None:
    (tmp_path / VERDICT_FILE).write_text('["what"]')

    assert len(samples(tmp_path)) == 2
