import json

from hypothesis import given
from hypothesis import strategies as st

from acesniper.api.names import MODEL_LABEL
from acesniper.extender.protocol import (
    ExtenderArgs,
    FilterResult,
    HostPriority,
    decode_args,
    encode,
)
from fleets import make_answers, make_args, make_fleet

LABELS = {MODEL_LABEL: "model"}
paces = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(1e-6, 1e6), min_size=1)
text = st.text(st.characters(exclude_categories=["Cs"]))
asked = st.lists(st.sampled_from("abcdefghxyz").map("node-{}".format), unique=True)


@given(paces=paces, names=asked)
def test_scores_lie_between_nothing_and_ten_and_the_best_gets_ten(
    paces: dict[str, float], names: list[str]
) -> None:
    answers = make_answers(make_fleet(paces))

    scores = {
        priority.host: priority.score
        for priority in answers.prioritize(make_args(*names, labels=LABELS))
    }

    known = {f"node-{name}": pace for name, pace in paces.items() if f"node-{name}" in names}
    assert set(scores) == set(names)
    assert all(0 <= score <= 10 for score in scores.values())
    if known:
        assert scores[min(known, key=lambda name: known[name])] == 10


@given(paces=paces, names=asked)
def test_the_earlier_never_scores_less_than_the_later(
    paces: dict[str, float], names: list[str]
) -> None:
    answers = make_answers(make_fleet(paces))

    ranking = answers.prioritize(make_args(*names, labels=LABELS))

    finish = {f"node-{name}": pace for name, pace in paces.items()}
    by_finish = sorted(ranking, key=lambda priority: finish.get(priority.host, float("inf")))
    scores = [priority.score for priority in by_finish]
    assert scores == sorted(scores, reverse=True)


@given(paces=paces, names=asked)
def test_filter_and_prioritize_agree(paces: dict[str, float], names: list[str]) -> None:
    """What filter refuses scores nothing, and what it lets through has the best score."""
    answers = make_answers(make_fleet(paces))
    args = make_args(*names, labels=LABELS)

    result, ranking = answers.filter(args), answers.prioritize(args)

    scores = {priority.host: priority.score for priority in ranking}
    assert {*result.node_names} | {*result.failed} == set(names)
    assert not {*result.node_names} & {*result.failed}
    assert all(scores[name] == 0 for name in result.failed)
    if result.node_names:
        assert max(scores[name] for name in result.node_names) == 10


@given(
    names=st.lists(text),
    labels=st.none() | st.dictionaries(text, text),
    uid=text,
)
def test_a_question_comes_through_the_wire(
    names: list[str], labels: dict[str, str] | None, uid: str
) -> None:
    metadata = {"name": "p", "namespace": "n", "uid": uid, "labels": labels}
    body = {"Pod": {"metadata": metadata, "spec": {"x": [1]}}, "Nodes": None, "NodeNames": names}

    args = decode_args(json.dumps(body).encode())

    assert isinstance(args, ExtenderArgs)
    assert args.node_names == names
    assert (args.pod.metadata.uid, args.pod.metadata.labels) == (uid, labels)


@given(
    names=st.lists(text), failed=st.dictionaries(text, text), scores=st.lists(st.integers(0, 10))
)
def test_an_answer_comes_through_the_wire(
    names: list[str], failed: dict[str, str], scores: list[int]
) -> None:
    result = json.loads(encode(FilterResult(names, failed)))
    ranking = json.loads(encode([HostPriority("n", score) for score in scores]))

    assert (result["NodeNames"], result["FailedNodes"]) == (names, failed)
    assert [priority["Score"] for priority in ranking] == scores
