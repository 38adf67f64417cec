# ruff: noqa: INP001 (a program and its modules, not a package)
"""Limit the CPU time of a process: by a cgroup as root, else by stopping and continuing it.

With the cgroup the kernel enforces the quota over periods of 100 ms, as a container's CPU limit
does. Without root, SIGSTOP and SIGCONT imitate it with the same period; a process with two threads
then gets its share of both.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PERIOD_S = 0.1
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
CGROUP_V2 = Path("/sys/fs/cgroup")


def run_limited(
    command: Sequence[str], environment: Mapping[str, str], quota: float | None, threads: int
) -> None:
    """Run a command within `quota` cores (None: no limit). Raises CalledProcessError."""
    if quota is None:
        subprocess.run(command, env=environment, check=True)
        return
    group = _make_group(quota)
    if group is None:
        _stop_and_go([*command, "--cpu-quota", str(quota)], environment, quota / threads)
        return
    enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    try:
        subprocess.run(["sh", "-c", enter, "sh", *command], env=environment, check=True)
    finally:
        group.rmdir()


def _make_group(quota: float) -> Path | None:
    """A cgroup with this limit; None if this user or system cannot create one."""
    v1 = CGROUP_V1.is_dir()
    group = (CGROUP_V1 if v1 else CGROUP_V2) / f"acesniper-{os.getpid()}"
    micros = int(PERIOD_S * 1e6)
    try:
        group.mkdir()
        if v1:
            (group / "cpu.cfs_period_us").write_text(str(micros))
            (group / "cpu.cfs_quota_us").write_text(str(int(quota * micros)))
        else:
            (group / "cpu.max").write_text(f"{int(quota * micros)} {micros}")
    except OSError:
        if group.is_dir():
            group.rmdir()
        return None
    return group


def _stop_and_go(command: Sequence[str], environment: Mapping[str, str], share: float) -> None:
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None:
        time.sleep(PERIOD_S * share)
        process.send_signal(signal.SIGSTOP)
        time.sleep(PERIOD_S * (1 - share))
        process.send_signal(signal.SIGCONT)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
