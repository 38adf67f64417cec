"""What the API server refuses for now, and when to ask again: later and later.

Whoever may grant it (a quota, a limit range, a pod security standard, a priority class) is no watch
of ours.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

MOST_PER_S = 10.0
"""So many are tried in a second in the long run."""


@dataclass(slots=True)
class RefusalBackoff:
    """Who was refused, by key, with the end of the pause and how long that is.

    The first pause is `first_s`; each is twice as long as the one before, up to `last_s`, or longer
    where there are very many.
    """

    first_s: float
    last_s: float
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def note(self, key: str, now_s: float) -> None:
        """Refused once more; what was asked before the pause began changes nothing."""
        end_s, before_s = self._pauses.get(key, (0.0, 0.0))
        if not _pausing(end_s, before_s, now_s):
            longest_s = max(self.last_s, len(self._pauses) / MOST_PER_S)
            pause_s = min(max(2.0 * before_s, self.first_s), longest_s)
            self._pauses[key] = now_s + pause_s, pause_s

    def over(self, key: str) -> None:
        """Granted, or something changed for the better."""
        self._pauses.pop(key, None)

    def keep(self, keys: Collection[str]) -> None:
        """Forget all but these."""
        self._pauses = {key: each for key, each in self._pauses.items() if key in keys}

    def pausing(self, now_s: float) -> set[str]:
        """Those who are not to be tried now."""
        return {key for key, each in self._pauses.items() if _pausing(*each, now_s)}


def _pausing(end_s: float, pause_s: float, now_s: float) -> bool:
    """Whether a pause still lasts; a clock that was set back ends it."""
    return 0.0 < end_s - now_s <= pause_s
