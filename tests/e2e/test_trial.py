"""A simulated cluster's tasks on a control plane of their own."""

from itertools import pairwise

from acesniper.testbed.benchmark.contenders import CONTENDERS, ORACLE, OURS, STOCK, Contender
from acesniper.testbed.benchmark.replay import ContenderResult, Experiment, run_benchmark
from simulated import make_arrivals, make_cluster, make_rows

FAST, SLOW = 0, 1
TRUE_S = [[0.2], [1.2]]
TOLD_S = [[1.2], [0.2]]
"""The wrong way round."""


def test_every_side_runs_every_task_once_and_by_what_it_was_told() -> None:
    tasks = make_arrivals(0.0, 1.5, 3.0, 4.5)
    setting = Experiment(
        make_cluster(TRUE_S),
        tasks,
        make_rows(TOLD_S),
        environment={"ACESNIPER_EXPLORE_SHARE": "0"},
    )
    told: list[tuple[Contender, int, int]] = []

    played = run_benchmark(setting, lambda *progress: told.append(progress), timeout_s=120)

    assert set(played) == set(CONTENDERS)
    assert {(side, 4, 4) for side in CONTENDERS} <= set(told)
    for side in CONTENDERS:
        _ran_once(played[side], len(tasks))
    # Each task arrives after the one before it: nothing but latency speaks for a device.
    assert {each.device for each in played[ORACLE].finished} == {FAST}
    assert {each.device for each in played[OURS].finished} == {SLOW}
    assert len(played[OURS].admitting_s) == len(tasks)
    assert not played[STOCK].admitting_s


def _ran_once(played: ContenderResult, tasks: int) -> None:
    keys = [each.task.key for each in played.finished]
    assert len(keys) == len(set(keys)) == len(played.request_s) == tasks
    for device in (FAST, SLOW):
        own = sorted(
            (each.started_s, each.finished_s) for each in played.finished if each.device == device
        )
        assert all(end_s <= start_s for (_, end_s), (start_s, _) in pairwise(own))
        for start_s, end_s in own:
            assert end_s - start_s > TRUE_S[device][0] / 2  # the start is written a moment late
