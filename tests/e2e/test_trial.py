"""A simulated workload, replayed on a control plane of its own."""

from itertools import pairwise

from acesniper.testbed.benchmark.contenders import CONTENDERS, ORACLE, OURS, STOCK, Contender
from acesniper.testbed.benchmark.replay import ContenderResult, Experiment, run_benchmark
from simulated import make_arrivals, make_cluster, make_rows

FAST, SLOW = 0, 1
TRUE_S = [[0.2], [1.2]]
PREDICTED_S = [[1.2], [0.2]]
"""The two devices' latencies, swapped."""


def test_every_contender_runs_every_task_once_by_its_predictions() -> None:
    tasks = make_arrivals(0.0, 1.5, 3.0, 4.5)
    setting = Experiment(
        make_cluster(TRUE_S),
        tasks,
        make_rows(PREDICTED_S),
        environment={"ACESNIPER_EXPLORE_SHARE": "0"},
    )
    progress_calls: list[tuple[Contender, int, int]] = []

    played = run_benchmark(
        setting, lambda *progress: progress_calls.append(progress), timeout_s=120
    )

    assert set(played) == set(CONTENDERS)
    assert {(contender, 4, 4) for contender in CONTENDERS} <= set(progress_calls)
    for contender in CONTENDERS:
        _assert_ran_once(played[contender], len(tasks))
    # A task arrives after the one before it finished: only latency decides.
    assert {run.device for run in played[ORACLE].finished} == {FAST}
    assert {run.device for run in played[OURS].finished} == {SLOW}
    assert len(played[OURS].admitting_s) == len(tasks)
    assert not played[STOCK].admitting_s


def _assert_ran_once(played: ContenderResult, tasks: int) -> None:
    keys = [run.task.key for run in played.finished]
    assert len(keys) == len(set(keys)) == len(played.request_s) == tasks
    for device in (FAST, SLOW):
        own = sorted(
            (run.started_s, run.finished_s) for run in played.finished if run.device == device
        )
        assert all(end_s <= start_s for (_, end_s), (start_s, _) in pairwise(own))
        for start_s, end_s in own:
            assert end_s - start_s > TRUE_S[device][0] / 2  # the start is recorded slightly late
