"""Tasks whose pod the API server refuses for now: each is tried again later and later.

A priority class that is missing, a limit range, a pod security standard: whoever may mend that is
no watch of ours. Meanwhile the tasks leave their places in the window to others.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

FIRST_S, LAST_S = 5.0, 60.0
"""The pause after the first refusal, and the longest; doubled in between."""


@dataclass(slots=True)
class Refusals:
    """Tasks by key, each with the end of its pause and how long that is."""

    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def note(self, task: str, now_s: float) -> None:
        """A task's pod was refused once more."""
        _, before_s = self._pauses.get(task, (0.0, 0.0))
        pause_s = min(max(2.0 * before_s, FIRST_S), LAST_S)
        self._pauses[task] = now_s + pause_s, pause_s

    def over(self, task: str) -> None:
        """A task's pod was made."""
        self._pauses.pop(task, None)

    def keep(self, tasks: Collection[str]) -> None:
        """Forget all tasks but these."""
        self._pauses = {task: each for task, each in self._pauses.items() if task in tasks}

    def pausing(self, now_s: float) -> set[str]:
        """Those that are not to be tried now; a clock that was set back ends all pauses."""
        return {
            task
            for task, (end_s, pause_s) in self._pauses.items()
            if 0.0 < end_s - now_s <= pause_s
        }
