import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.domain.latency_history import (
    MAX_FACTOR,
    MIN_FACTOR,
    TARGET_COVERAGE,
    adapted_factor,
)


@pytest.mark.parametrize("scatter", [0.15, 0.2, 0.4])
def test_in_the_long_run_the_promised_share_ends_inside(scatter: float) -> None:
    draw = random.Random(f"{scatter}")  # noqa: S311 - latencies, not a secret
    factor, hits = 1.0, 0
    for number in range(4000):
        missed = abs(draw.gauss(0.0, scatter)) > 0.3 * factor
        factor = adapted_factor(factor, [missed])
        hits += not missed if number >= 1000 else 0

    assert hits / 3000 == pytest.approx(TARGET_COVERAGE, abs=0.01)


@given(st.floats(MIN_FACTOR, MAX_FACTOR), st.lists(st.booleans(), max_size=200))
def test_widths_stay_in_bounds_and_misses_never_narrow(factor: float, missed: list[bool]) -> None:
    after = adapted_factor(factor, missed)

    assert MIN_FACTOR <= after <= MAX_FACTOR
    assert adapted_factor(after, [True]) >= after >= adapted_factor(after, [False])
