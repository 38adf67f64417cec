import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acesniper.testbed.errors import NotReady
from acesniper.testbed.processes import Children

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(15, signal.SIG_IGN); print('ready', flush=True);"
    "[signal.pause() for _ in iter(int, 1)]",
]


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path) as children:
        yield children


def test_a_process_that_exits_before_it_is_ready_shows_its_log(children: Children) -> None:
    argv = [sys.executable, "-c", "import sys; print('no port left'); sys.exit(3)"]
    child = children.spawn("broken", argv, ready=lambda: False)

    with pytest.raises(NotReady, match=r"broken exited with code 3\n.*\nno port left"):
        child.wait_ready()


def test_a_process_that_is_not_ready_in_time_is_an_error(children: Children) -> None:
    child = children.spawn("late", SLEEPER, ready=lambda: False)

    with pytest.raises(NotReady, match=r"late was not ready within 0\.1 s"):
        child.wait_ready(timeout_s=0.1)


def test_a_killed_process_restarts_under_its_name(children: Children) -> None:
    child = children.spawn("victim", SLEEPER)
    first = child.pid

    child.kill()
    assert child.returncode == -signal.SIGKILL
    child.start()

    assert child.running
    assert child.pid != first


def test_starting_a_running_process_changes_nothing(children: Children) -> None:
    child = children.spawn("steady", SLEEPER)
    first = child.pid

    child.start()

    assert child.pid == first


def test_the_name_of_a_running_process_is_unique(children: Children) -> None:
    children.spawn("one", SLEEPER)

    with pytest.raises(NotReady, match="one is already running"):
        children.spawn("one", SLEEPER)


def test_an_unknown_name_lists_the_existing_ones(children: Children) -> None:
    children.spawn("known", SLEEPER)

    with pytest.raises(KeyError, match="known"):
        children["unknown"]


def test_a_process_that_ignores_sigterm_is_killed(children: Children) -> None:
    child = children.spawn("stubborn", STUBBORN)
    child.wait_until(lambda: "ready" in child.tail())

    child.stop(grace_s=0.1)

    assert child.returncode == -signal.SIGKILL


def test_a_process_that_exits_by_itself_is_restarted(children: Children) -> None:
    child = children.spawn("lost", SLEEPER, restart=True)
    first = child.pid

    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while child.pid == first and time.monotonic() < deadline:
        child.exited_within(0.05)

    assert child.pid != first


def test_a_process_that_was_killed_on_purpose_is_not_restarted(children: Children) -> None:
    child = children.spawn("victim", SLEEPER, restart=True)

    child.kill()
    child.restart_if_exited()

    assert not child.running


def test_extra_environment_reaches_the_process(children: Children) -> None:
    code = "import os; print(os.environ['ACESNIPER_TEST'], bool(os.environ['PATH']))"
    child = children.spawn("env", [sys.executable, "-c", code], env={"ACESNIPER_TEST": "here"})

    assert child.exited_within(10)
    assert child.tail().endswith("here True")


def test_exit_stops_grandchildren_too(tmp_path: Path) -> None:
    code = """if True:
        import signal, subprocess, sys
        print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
        signal.pause()
    """
    with Children(tmp_path) as children:
        child = children.spawn("parent", [sys.executable, "-c", code, *SLEEPER])
        child.wait_until(lambda: child.tail().splitlines()[-1].isdigit())
        grandchild = os.pidfd_open(int(child.tail().splitlines()[-1]))

    ended, _, _ = select.select([grandchild], [], [], 10)  # a pidfd is readable once it ended
    os.close(grandchild)
    assert ended
