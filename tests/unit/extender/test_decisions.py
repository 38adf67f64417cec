from acesniper.api.decision import Decision
from acesniper.extender.cache.decisions import DecisionCache


def decision(policy: str) -> Decision:
    return Decision(decided_at=0.0, policy=policy)


def test_a_later_decision_replaces_an_earlier_one() -> None:
    book = DecisionCache()
    book.put("pod", decision("first"))

    book.put("pod", decision("second"))

    assert book.get("pod") == decision("second")


def test_the_oldest_decision_is_evicted_from_a_full_cache() -> None:
    book = DecisionCache(limit=2)
    for pod in ("a", "b", "a", "c"):
        book.put(pod, decision(pod))

    assert [book.get(pod) is not None for pod in ("a", "b", "c")] == [True, False, True]


def test_an_answer_for_an_unknown_pod_is_not_kept() -> None:
    book = DecisionCache()

    book.set_answered("pod", "node")

    assert book.get("pod") is None
