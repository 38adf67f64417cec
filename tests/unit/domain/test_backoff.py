import pytest

from acesniper.domain.backoff import TokenBucket


@pytest.mark.parametrize(
    ("later_s", "taken"),
    [
        pytest.param(0.5, 0, id="no half tokens"),
        pytest.param(3.0, 3, id="one per second"),
        pytest.param(1e6, 4, id="at most the burst"),
        pytest.param(-1e6, 0, id="clock set back"),
    ],
)
def test_a_token_bucket_refills_with_time(later_s: float, taken: int) -> None:
    bucket = TokenBucket(burst=4, per_s=1)
    assert [bucket.take(0.0) for _ in range(5)] == [True] * 4 + [False]

    assert sum(bucket.take(later_s) for _ in range(6)) == taken
