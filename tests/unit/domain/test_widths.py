import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.domain.widths import COVERED, NARROWEST, WIDEST, adapted


@pytest.mark.parametrize("scatter", [0.15, 0.2, 0.4])
def test_in_the_long_run_the_promised_share_ends_inside(scatter: float) -> None:
    draw = random.Random(f"{scatter}")  # noqa: S311 - latencies, not a secret
    factor, hits = 1.0, 0
    for number in range(4000):
        missed = abs(draw.gauss(0.0, scatter)) > 0.3 * factor
        factor = adapted(factor, [missed])
        hits += not missed if number >= 1000 else 0

    assert hits / 3000 == pytest.approx(COVERED, abs=0.01)


@given(st.floats(NARROWEST, WIDEST), st.lists(st.booleans(), max_size=200))
def test_widths_stay_in_bounds_and_misses_never_narrow(factor: float, missed: list[bool]) -> None:
    after = adapted(factor, missed)

    assert NARROWEST <= after <= WIDEST
    assert adapted(after, [True]) >= after >= adapted(after, [False])
