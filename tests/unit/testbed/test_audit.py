"""An audit reports every violation, and nothing else."""

from typing import Any

import pytest

from acesniper.api.objects import Json
from acesniper.testbed.emulator import Run
from acesniper.testbed.faults.audit import Audit, audit
from builders import make_itask, make_pod

TASK = make_itask("t", status={"phase": "Succeeded"})
POD = make_pod("p", task="t", phase="Succeeded")


def run(
    pod: str = "p", *, task: str = "t", node: str = "n", start: float = 0.0, end: float | None = 1.0
) -> Run:
    return Run(pod, "default", f"uid-{pod}", task, "m", node, 1, start, end, "Succeeded")


def audited(**other: Any) -> Audit:  # noqa: ANN401 - what differs from a clean end
    arguments: Json = {
        "expected": ["t"],
        "tasks": [TASK],
        "pods": [POD],
        "runs": [run()],
        "backlogs": {"d": 0.0},
    }
    return audit(**(arguments | other))


def test_tasks_that_succeeded_violate_nothing() -> None:
    assert not audited()


def test_a_retried_task_may_have_run_twice() -> None:
    again = make_itask("t", status={"phase": "Succeeded", "attempts": 1})

    assert not audited(tasks=[again], runs=[run(), run("q", start=2.0, end=3.0)])


@pytest.mark.parametrize(
    ("other", "kind", "words"),
    [
        ({"expected": ["t", "u"]}, "lost", "task u: missing"),
        ({"tasks": [make_itask("t", status={"phase": "Failed"})]}, "lost", "task t: Failed"),
        ({"runs": [run(), run("q", start=2.0)]}, "duplicated", "2 runs in 1 attempts"),
        (
            {"runs": [run(end=5.0), run("q", task="u", start=2.0)]},
            "duplicated",
            "ran at the same time on n",
        ),
        (
            {"pods": [POD, make_pod("o", task="gone", phase="Failed")]},
            "leaked",
            "pod o: no task owns it",
        ),
        ({"pods": [make_pod("p", task="t", phase="Running")]}, "leaked", "still Running"),
        ({"backlogs": {"d": 3.0}}, "leaked", "device d: 3.0 s reserved for no pod"),
        (
            {"tasks": [{**TASK, "metadata": {**TASK["metadata"], "finalizers": ["x/y"]}}]},
            "leaked",
            "t: finalizers x/y",
        ),
    ],
)
def test_every_violation_is_reported_under_its_kind(other: Json, kind: str, words: str) -> None:
    result = audited(**other)

    assert result
    assert any(words in line for line in getattr(result, kind))
