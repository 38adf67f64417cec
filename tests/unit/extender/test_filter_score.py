from prometheus_client import CollectorRegistry

from acesniper.api.decision import Decision
from acesniper.api.names import MODEL_LABEL, TASK_LABEL
from acesniper.api.objects import PodView
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.filter_score import NO_DEVICE, FilterScore
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.protocol import HostPriority, Pod
from acesniper.extender.watch_events import WatchEvents
from acesniper.runtime.skipped import UPSERT
from builders import (
    TEST_KEY,
    make_device_profile,
    make_gated_pod,
    make_model_profile,
    make_node,
    make_pod,
)
from fleets import make_answers, make_args, make_fleet, predict_news
from virtual_time import Clock

SERVER = {MODEL_LABEL: "model"}
TASK = {MODEL_LABEL: "model", TASK_LABEL: "task"}


def reserve(cache: ClusterCache, uid: str, device: str, expected_s: float = 10.0) -> None:
    found = cache.devices.get(DeviceId(device))
    assert found is not None
    cache.reserve(PodView.of(make_gated_pod(uid=uid)), found, expected_s)


def scores(answer: list[HostPriority]) -> dict[str, int]:
    return {priority.host: priority.score for priority in answer}


# --- /filter -------------------------------------------------------------------------------------


def test_a_planned_pod_goes_to_its_node_only() -> None:
    cache = make_fleet({"a": 1.0, "b": 2.0})
    reserve(cache, "u", "b")

    answer = make_answers(cache).filter(make_args("node-a", "node-b", uid="u", labels=TASK))

    assert answer.node_names == ["node-b"]
    assert answer.failed == {"node-a": "the task is planned for node node-b"}


def test_the_node_of_a_pod_admitted_by_another_replica_is_read_from_the_pod() -> None:
    """This replica has not received the event yet."""
    args = make_args("node-a", "node-b", uid="u", labels=TASK)
    args.pod.metadata.annotations = TEST_KEY.annotations("u", "b")

    answer = make_answers(make_fleet({"a": 1.0, "b": 2.0})).filter(args)

    assert answer.node_names == ["node-b"]


def test_a_device_that_the_planner_did_not_sign_for_this_pod_plans_no_node() -> None:
    args = make_args("node-a", "node-b", uid="u", labels=TASK)
    args.pod.metadata.annotations = TEST_KEY.annotations("another pod", "b")

    answer = make_answers(make_fleet({"a": 1.0, "b": 2.0})).filter(args)

    assert answer.node_names == ["node-a", "node-b"]


def test_a_planned_pod_whose_node_is_no_candidate_gets_no_node() -> None:
    cache = make_fleet({"a": 1.0, "b": 2.0})
    reserve(cache, "u", "b")

    answer = make_answers(cache).filter(make_args("node-a", uid="u", labels=TASK))

    assert answer.node_names == []
    assert answer.failed == {"node-a": "the task is planned for node node-b"}


def test_an_opted_in_pod_may_go_where_its_model_is_predicted() -> None:
    cache = make_fleet({"a": 1.0})
    WatchEvents(cache).node(UPSERT, make_node("node-x"))

    answer = make_answers(cache).filter(make_args("node-a", "node-x", labels=SERVER))

    assert answer.node_names == ["node-a"]
    assert answer.failed == {"node-x": NO_DEVICE}


def test_a_pod_without_a_model_may_go_anywhere() -> None:
    answer = make_answers(make_fleet({"a": 1.0})).filter(make_args("node-a", "node-x"))

    assert answer.node_names == ["node-a", "node-x"]
    assert answer.failed == {}


def test_a_pod_of_an_unknown_model_may_go_anywhere_and_is_noted() -> None:
    unknown: list[Pod] = []
    metrics = ExtenderMetrics.on(CollectorRegistry())
    answers = FilterScore(
        cache=make_fleet({"a": 1.0}),
        decisions=DecisionCache(),
        metrics=metrics,
        on_unknown=unknown.append,
    )
    args = make_args("node-a", "node-x", labels={MODEL_LABEL: "unheard-of"})

    answer = answers.filter(args)

    assert answer.node_names == ["node-a", "node-x"]
    assert unknown == [args.pod]


def test_a_model_that_no_device_predicts_yet_may_go_anywhere() -> None:
    cache = make_fleet({})
    WatchEvents(cache).node(UPSERT, make_node("node-x"))

    answer = make_answers(cache).filter(make_args("node-x", labels=SERVER))

    assert answer.node_names == ["node-x"]


def test_only_names_that_were_asked_about_are_answered() -> None:
    answers = make_answers(make_fleet({"a": 1.0, "b": 2.0, "c": 3.0}))

    for labels in ({}, SERVER):
        answer = answers.filter(make_args("node-b", "unknown", labels=labels))
        ranking = answers.prioritize(make_args("node-b", "unknown", labels=labels))

        assert {*answer.node_names, *answer.failed} == {"node-b", "unknown"}
        assert [priority.host for priority in ranking] == ["node-b", "unknown"]


def test_the_answered_node_is_recorded_in_the_decision() -> None:
    cache, book = make_fleet({"a": 1.0}), DecisionCache()
    reserve(cache, "u", "a")
    book.put("u", Decision(decided_at=0.0, policy="fcfs-mct"))

    make_answers(cache, book).filter(make_args("node-a", uid="u", labels=TASK))

    decision = book.get("u")
    assert decision is not None
    assert decision.answered == "node-a"


def test_a_cordoned_node_is_not_predicted_for() -> None:
    cache = make_fleet({"a": 1.0, "b": 2.0})
    WatchEvents(cache).node(UPSERT, make_node("node-a", cordoned=True))

    answer = make_answers(cache).filter(make_args("node-a", "node-b", labels=SERVER))

    assert answer.node_names == ["node-b"]


# --- /prioritize ---------------------------------------------------------------------------------


def test_the_first_to_finish_gets_ten_and_one_twice_as_late_five() -> None:
    answers = make_answers(make_fleet({"a": 1.0, "b": 2.0, "c": 100.0}))

    ranking = answers.prioritize(make_args("node-b", "node-a", "node-c", labels=SERVER))

    assert scores(ranking) == {"node-a": 10, "node-b": 5, "node-c": 0}


def test_the_wait_for_a_slot_counts() -> None:
    cache = make_fleet({"fast": 1.0, "slow": 2.0})
    reserve(cache, "other", "fast", expected_s=19.0)

    ranking = make_answers(cache).prioritize(make_args("node-fast", "node-slow", labels=SERVER))

    assert scores(ranking) == {"node-fast": 1, "node-slow": 10}


def test_a_node_with_an_idle_device_has_no_wait() -> None:
    cache = make_fleet({"a": 1.0, "b": 1.0})
    WatchEvents(cache).device_profile(UPSERT, make_device_profile("a-gpu", "node-a", pace=1.0))
    reserve(cache, "other", "a-gpu", expected_s=1000.0)

    ranking = make_answers(cache).prioritize(make_args("node-a", "node-b", labels=SERVER))

    assert scores(ranking) == {"node-a": 10, "node-b": 10}


def test_a_name_without_a_prediction_gets_nothing() -> None:
    ranking = make_answers(make_fleet({"a": 1.0})).prioritize(
        make_args("node-a", "unknown", labels=SERVER)
    )

    assert scores(ranking) == {"node-a": 10, "unknown": 0}


def test_without_knowledge_the_other_plugins_decide() -> None:
    answers = make_answers(make_fleet({"a": 1.0}))

    stock = answers.prioritize(make_args("node-a", "node-b"))
    nowhere = answers.prioritize(make_args("x", "y", labels=SERVER))

    assert scores(stock) == {"node-a": 0, "node-b": 0}
    assert scores(nowhere) == {"x": 0, "y": 0}


def test_a_question_about_no_node_has_an_empty_answer() -> None:
    answers = make_answers(make_fleet({"a": 1.0}))

    assert answers.prioritize(make_args(labels=SERVER)) == []
    assert answers.filter(make_args(labels=SERVER)).node_names == []


# --- watch events ------------------------------------------------------------------------


def test_a_bound_pod_keeps_its_reservation_and_a_finished_one_frees_it() -> None:
    cache, clock = make_fleet({"a": 1.0}), Clock()
    cache.clock = clock
    reserve(cache, "u", "a")

    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="node-a", device="a", phase="Running"))
    clock.now_s = 1000.0
    expired = cache.expire_reservations()
    bound = cache.ledger.get(PodUid("u"))
    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="node-a", device="a", phase="Succeeded"))

    assert expired == []
    assert bound is not None
    assert bound.expires_s is None
    assert cache.ledger.get(PodUid("u")) is None


def test_a_restarted_extender_derives_reservations_from_pods() -> None:
    cache = make_fleet({"a": 1.0})

    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="node-a", device="a", phase="Running"))

    assert cache.ledger.backlog_s(DeviceId("a"), 0.0) == 1.0


def test_a_pod_that_came_before_its_device_is_counted_once_that_is_known() -> None:
    cache = make_fleet({})
    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="node-a", device="a"))

    WatchEvents(cache).node(UPSERT, make_node("node-a"))
    WatchEvents(cache).device_profile(UPSERT, make_device_profile("a"))

    assert list(cache.ledger) == ["u"]


def test_invalid_pod_annotations_are_ignored() -> None:
    cache = make_fleet({"a": 1.0})

    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="node-a", decision="{}", slots="1k"))

    assert cache.ledger.backlog_s(DeviceId("a"), 0.0) == 1.0


def test_a_model_that_is_read_again_is_predicted_again() -> None:
    cache = make_fleet({"a": 1.0, "b": 2.0})
    answers, args = make_answers(cache), make_args("node-a", "node-b", labels=SERVER)
    before = scores(answers.prioritize(args))

    WatchEvents(cache).device_profile(UPSERT, make_device_profile("a", pace=4.0))
    predict_news(cache)
    after = scores(answers.prioritize(args))
    WatchEvents(cache).model_profile(UPSERT, make_model_profile(work=None))
    unknown = scores(answers.prioritize(args))

    assert (before, after) == ({"node-a": 10, "node-b": 5}, {"node-a": 5, "node-b": 10})
    assert unknown == {"node-a": 0, "node-b": 0}
