import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acesniper.predictor.accuracy import kendall, spearman
from acesniper.predictor.tables.device_transfer import impute
from acesniper.predictor.tables.measurements import family_folds
from acesniper.predictor.tables.operators import (
    ModelTraits,
    cost_design,
    count_operators,
    fit_costs,
    operator,
)
from strategies import floats

NUMBERS = arrays(np.float64, st.integers(2, 12), elements=st.integers(-5, 5).map(float))


@given(NUMBERS)
def test_an_order_agrees_with_itself_and_not_its_reverse(values: np.ndarray) -> None:
    for measure in (spearman, kendall):
        itself, reverse = measure(values, values), measure(values, -values)
        assert np.isnan(itself) or (abs(itself - 1) < 1e-9 and abs(reverse + 1) < 1e-9)


@given(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=30))
def test_folds_cover_all_once_and_never_split_a_family(families: list[str]) -> None:
    folds = family_folds(families)

    assert (np.sum(folds, axis=0) == 1).all()
    if len(set(families)) > 1:
        for mask in folds:
            inside = {f for f, there in zip(families, mask, strict=True) if there}
            outside = {f for f, there in zip(families, mask, strict=True) if not there}
            assert not inside & outside


@given(st.integers(0, 1000))
def test_costs_are_never_negative(seed: int) -> None:
    draw = np.random.default_rng(seed)
    amounts, log_ms = draw.random((8, 4)), draw.normal(size=(3, 8))

    assert (fit_costs(amounts, log_ms, 1e-3) >= 0).all()


@given(st.integers(0, 1000), floats(0.0, 0.9))
def test_imputation_keeps_measured_values(seed: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(6, 7))
    values[draw.random(values.shape) < share] = np.nan
    there = np.isfinite(values)

    imputed = impute(values)

    assert np.isfinite(imputed).all()
    np.testing.assert_array_equal(imputed[there], values[there])


@given(st.integers(0, 1000))
def test_an_unseen_kind_costs_as_much_per_flop_as_others(seed: int) -> None:
    draw = np.random.default_rng(seed)
    seen = [
        ModelTraits((operator("conv", flops=x), operator("pool", flops=y)))
        for x, y in draw.uniform(1.0, 9.0, (12, 2))
    ]
    models = cost_design(count_operators([*seen, ModelTraits((operator("new", flops=5.0),))]))
    log_ms = np.log(models.amounts[:12, 0])[None]  # all arithmetic alike

    costs = fit_costs(models.amounts[:12], log_ms, 1e-4)

    assert 4.0 < float((costs @ models.amounts[12])[0]) < 6.0
