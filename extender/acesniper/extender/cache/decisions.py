"""The book of decisions: what was decided for each pod and why, bounded in size."""

from collections import OrderedDict

from acesniper.api.decision import Decision


class DecisionCache:
    """Decisions by pod UID; the oldest fall out beyond `limit`."""

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._decisions: OrderedDict[str, Decision] = OrderedDict()

    def write(self, pod: str, decision: Decision) -> None:
        """Note a decision for a pod; a later one replaces it."""
        self._decisions[pod] = decision
        self._decisions.move_to_end(pod)
        while len(self._decisions) > self._limit:
            self._decisions.popitem(last=False)

    def answered(self, pod: str, node: str) -> None:
        """Note the one node that `/filter` answered for a pod."""
        if (decision := self._decisions.get(pod)) is not None:
            self._decisions[pod] = decision.model_copy(update={"answered": node})

    def read(self, pod: str) -> Decision | None:
        """The last decision for a pod, None if there was none or it is too old."""
        return self._decisions.get(pod)
