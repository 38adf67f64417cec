"""Limits on how often something is retried or written: exponential back-off and token bucket."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off: `first_s` after the first failure, doubled after each further one.

    The delay never exceeds `max_s`.
    """

    first_s: float
    max_s: float

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after so many consecutive failures; 0 after none."""
        if failures < 1:
            return 0.0
        # 2.0 ** 1024 overflows.
        return min(self.first_s * 2.0 ** min(failures - 1, 64), self.max_s)

    def next_s(self, previous_s: float) -> float:
        """Seconds to wait after one more failure, given the delay before (0: none)."""
        return min(max(2.0 * previous_s, self.first_s), self.max_s)


@dataclass(slots=True)
class TokenBucket:
    """A token bucket: bursts of up to `burst`, and `per_s` per second on average."""

    burst: float = 300.0
    per_s: float = 10.0
    _tokens: float = field(init=False)
    _updated_s: float = float("inf")

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now_s: float) -> bool:
        """Take a token if there is one; a clock that is set back adds none."""
        earned = self.per_s * max(now_s - self._updated_s, 0.0)
        self._tokens, self._updated_s = min(self._tokens + earned, self.burst), now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
