"""Reports cover every split and the baselines, and only hidden cells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acesniper.predictor.pcn.dataset import AtlasDataset, atlas_dataset
from acesniper.predictor.pcn.evaluation.baselines import (
    METHODS,
    Method,
    by_flops,
    by_nearest,
    by_physics,
)
from acesniper.predictor.pcn.evaluation.cross_validation import (
    ALL_OBSERVED,
    cross_validate,
    deal_families,
    hidden_groups,
)
from acesniper.predictor.pcn.evaluation.report import (
    ABLATION,
    OURS,
    SPLITS,
    Document,
    Trial,
    ablation,
    curve,
    finite,
    report,
    run_trial,
)
from acesniper.predictor.pcn.train import TrainingSettings
from atlas_folder import NETWORKS, PLATFORMS, write_atlas

QUICK = TrainingSettings(steps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> AtlasDataset:
    return atlas_dataset(write_atlas(tmp_path_factory.mktemp("atlas")))


@pytest.fixture(scope="module")
def done(data: AtlasDataset) -> Trial:
    return run_trial(data, QUICK, observations=2)


@pytest.fixture(scope="module")
def document(done: Trial) -> Document:
    return report(done)


def test_the_document_has_every_split_and_method(document: Document) -> None:
    assert set(document["splits"]) == set(SPLITS)
    assert list(document["splits"]["seen device"]) == ["all"]
    assert list(document["splits"]["new runtime"]) == ["0", "1", "2"]
    for counts in document["splits"].values():
        for methods in counts.values():
            assert set(methods) == {OURS, *METHODS}


def test_every_platform_is_evaluated_once_in_each_split(document: Document) -> None:
    for counts in document["splits"].values():
        for methods in counts.values():
            for result in methods.values():
                assert set(result["devices"]) == set(PLATFORMS)
                cells = sum(figures["cells"] for figures in result["devices"].values())
                assert result["all"]["cells"] == cells
                assert sum(figures["cells"] for figures in result["families"].values()) == cells


def test_the_document_describes_its_data(document: Document) -> None:
    atlas = document["atlas"]

    assert atlas["platforms"] == len(PLATFORMS)
    assert atlas["networks"] == len(NETWORKS)
    assert atlas["latencies"] == len(NETWORKS) * len(PLATFORMS) - 1
    assert atlas["noise_floor"] == pytest.approx(2.0)


def test_whole_families_are_hidden_and_never_the_probes_networks(data: AtlasDataset) -> None:
    dealt = deal_families(data.families, data.reference)

    assert (dealt[data.reference] == -1).all()
    for family in np.unique(data.families[~data.reference]):
        assert len(set(dealt[data.families == family])) == 1


def poisoned(data: AtlasDataset, by: str, turn: int) -> AtlasDataset:
    """The dataset with absurd latencies where that turn hides them."""
    _, models, devices = list(hidden_groups(data, by))[turn]
    log_s = data.log_s.copy()
    log_s[np.ix_(models, devices)] += 5.0
    return replace(data, log_s=log_s)


@pytest.mark.parametrize("by", ["platform", "runtime"])
def test_hidden_latencies_do_not_reach_the_network(data: AtlasDataset, by: str) -> None:
    before = next(cross_validate(data, by, (0, 2, ALL_OBSERVED), QUICK))
    after = next(cross_validate(poisoned(data, by, 0), by, (0, 2, ALL_OBSERVED), QUICK))

    for count in (0, 2, ALL_OBSERVED):
        np.testing.assert_array_equal(before.mean[count], after.mean[count])
        np.testing.assert_array_equal(before.deviation[count], after.deviation[count])


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_hidden_latencies_do_not_reach_the_simple_methods(
    data: AtlasDataset, method: Method
) -> None:
    _, models, devices = next(hidden_groups(data, "platform"))
    seen = np.setdiff1d(np.arange(len(data.names)), models)

    before = method(data, models, devices, seen)
    after = method(poisoned(data, "platform", 0), models, devices, seen)

    np.testing.assert_array_equal(before, after)


def test_by_flops_is_exact_if_latency_is_proportional_to_flops(data: AtlasDataset) -> None:
    paces = np.linspace(-1.0, 1.0, len(PLATFORMS))
    true = data.models.sizes[:, :1] - 20.0 + paces
    models, seen = np.array([0, 1]), np.array([2, 3, 4])

    predicted = by_flops(replace(data, log_s=true), models, np.arange(len(paces)), seen)

    np.testing.assert_allclose(predicted, true[models])


def test_by_nearest_finds_a_twin_and_skips_unmeasured_models(data: AtlasDataset) -> None:
    log_s = data.log_s.copy()
    log_s[0, 1] = np.nan
    seen = np.array([0, 1, 2])

    predicted = by_nearest(replace(data, log_s=log_s), np.array([0]), np.array([0, 1]), seen)

    assert predicted[0, 0] == pytest.approx(data.log_s[0, 0])
    assert np.isfinite(predicted[0, 1])


def test_by_physics_is_exact_without_other_effects(tmp_path: Path) -> None:
    data = atlas_dataset(write_atlas(tmp_path, noise=0.0))
    first, everything = np.array([0]), np.flatnonzero(~data.reference)

    predicted = by_physics(data, everything, first, everything)

    np.testing.assert_allclose(predicted, data.log_s[everything][:, first], atol=1e-3)


def test_the_curve_ends_at_the_requested_observation() -> None:
    assert curve(0) == (0,)
    assert curve(7) == (0, 1, 2, 5, 7)


def test_the_ablation_has_a_row_per_set_of_parts_and_ends_with_all(
    done: Trial, document: Document
) -> None:
    figures = ablation(done)

    assert list(figures) == list(ABLATION)
    whole = figures[list(ABLATION)[-1]]["new runtime"]["0"]
    assert whole == document["splits"]["new runtime"]["0"][OURS]["all"]
    assert figures["physics"]["new runtime"]["0"]["mean"] != whole["mean"]


def test_values_that_are_not_finite_are_null_in_json() -> None:
    assert finite({"a": {"b": float("nan"), "c": 1.0}, "d": "text"}) == {
        "a": {"b": None, "c": 1.0},
        "d": "text",
    }
