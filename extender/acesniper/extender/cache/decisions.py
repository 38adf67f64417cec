"""Cache of placement decisions, so that `/explain` can return the reasons of a recent one."""

from collections import OrderedDict

from acesniper.api.decision import Decision


class DecisionCache:
    """The latest decision for each pod, by pod UID; the oldest are evicted beyond `limit`."""

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._decisions: OrderedDict[str, Decision] = OrderedDict()

    def get(self, pod: str) -> Decision | None:
        """Return the latest decision for a pod; None if it does not exist or was evicted."""
        return self._decisions.get(pod)

    def put(self, pod: str, decision: Decision) -> None:
        """Store a decision for a pod in place of an earlier one."""
        self._decisions[pod] = decision
        self._decisions.move_to_end(pod)
        while len(self._decisions) > self._limit:
            self._decisions.popitem(last=False)

    def set_answered(self, pod: str, node: str) -> None:
        """Record the node that `/filter` returned for a pod."""
        if (decision := self._decisions.get(pod)) is not None:
            self._decisions[pod] = decision.model_copy(update={"answered": node})
