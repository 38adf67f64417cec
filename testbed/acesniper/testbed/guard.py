"""Nothing survives its parent: a guard that kills a process group when the parent is gone.

The guard is a small process that leads a process group and reads a pipe held by the parent. All
children are started into that group. When the parent ends, however it ends, the kernel closes the
pipe, the guard reads end of file and kills the whole group, itself included. Unlike
PR_SET_PDEATHSIG this needs no code between fork and exec, and does not fire when merely the
*thread* that started a child ends.
"""

import contextlib
import os
import signal
import subprocess
import sys

_WATCH = """
import os, signal, sys
for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)
sys.stdin.buffer.read()
os.killpg(0, signal.SIGKILL)
"""


class Guard:
    """A process group that ends with this process; give its id, `group`, to Popen."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self.group = self._process.pid

    def close(self) -> None:
        """Kill whatever is left in the group; safe to call twice."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
