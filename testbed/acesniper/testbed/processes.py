"""Supervised processes of a testbed: start, readiness, kill, restart, and stop in order.

Nothing outlives this process. All children are started into one process group, led by a guard: a
small process that reads a pipe whose other end this process holds. When this process ends, however
it ends, the kernel closes the pipe, the guard reads end of file and kills the whole group, itself
included. Unlike PR_SET_PDEATHSIG this needs no code between fork and exec, and does not fire when
merely the *thread* that started a child ends.
"""

import contextlib
import http.client
import logging
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from acesniper.testbed.errors import NotReady

logger = logging.getLogger(__name__)

Ready = Callable[[], bool]
"""Whether a process serves requests yet; it is polled, so it must return quickly."""

_POLL_S = 0.05
_RESTART_POLL_S = 0.2
_TAIL_LINES = 25
_REQUEST_TIMEOUT_S = 2.0


class Children:
    """The processes of one testbed by name; leaving the context stops them, last started first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._guard = _Guard()
        self._children: dict[str, Child] = {}
        self._supervisors: list[threading.Thread] = []
        self._stopping = threading.Event()

    def __getitem__(self, name: str) -> "Child":
        """The process called `name`. Raises KeyError with the names that exist."""
        if name not in self._children:
            raise KeyError(f"{name}: not one of {', '.join(self._children)}")
        return self._children[name]

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        ready: Ready | None = None,
        *,
        restart: bool = False,
    ) -> "Child":
        """Start a program that logs to `<name>.log`. The name of a stopped one may be reused.

        With `restart`, it is started again if it exits by itself, as a kubelet does.

        Raises:
            NotReady: a process of that name is running.
        """
        previous = self._children.pop(name, None)
        if previous is not None and previous.running:
            self._children[name] = previous
            raise NotReady(f"{name} is already running")
        log = self._logs / f"{name}.log"
        child = Child(name, argv, self._guard.group, log, env=env, ready=ready)
        self._children[name] = child
        child.start()
        if restart:
            self._supervise(child)
        return child

    def stop(self) -> None:
        """Stop all in the reverse order of their start, then whatever they left running."""
        self._stopping.set()
        for thread in self._supervisors:
            thread.join()
        for child in reversed(list(self._children.values())):
            child.stop()
        self._guard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _supervise(self, child: "Child") -> None:
        def run() -> None:
            while not self._stopping.wait(_RESTART_POLL_S):
                child.restart_if_exited()

        thread = threading.Thread(target=run, name=f"supervisor-of-{child.name}")
        thread.start()
        self._supervisors.append(thread)


@dataclass
class Child:
    """One program with its log file; `start` may be called again after `kill` or `stop`."""

    name: str
    argv: Sequence[str | Path]
    group: int
    log: Path
    env: Mapping[str, str] | None = None
    """Added to the environment of this process."""
    ready: Ready | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _wanted: bool = field(default=False, init=False, repr=False)
    """Whether it was started and neither killed nor stopped since."""

    @property
    def pid(self) -> int:
        """The process id. Raises NotReady if it was never started."""
        if self._process is None:
            raise NotReady(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or before the first start."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start without waiting; does nothing if it is running."""
        with self._lock:
            self._wanted = True
            self._start()

    def restart_if_exited(self) -> None:
        """Start it again if it exited by itself."""
        with self._lock:
            if self._wanted and not self.running:
                logger.warning("%s exited with code %s: restarting it", self.name, self.returncode)
                self._start()

    def _start(self) -> None:
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in self.argv],
                env={**os.environ, **(self.env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self.group,
            )

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until `ready` returns True. Raises NotReady if the process exits, or on timeout."""
        if self.ready is not None:
            self.wait_until(self.ready, timeout_s)

    def wait_until(self, ready: Ready, timeout_s: float = 60.0, poll_s: float = _POLL_S) -> None:
        """Like `wait_ready`, for another condition that this process has to bring about."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.exited_within(poll_s):
                raise NotReady(f"{self.name} exited with code {self.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} was not ready within {timeout_s:g} s\n{self.tail()}")

    def exited_within(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for the process to exit; True if it did."""
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return not self.running

    def kill(self) -> None:
        """Send SIGKILL, as a crash or the OOM killer would, and wait until the process is gone."""
        with self._lock:
            self._wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, grace_s: float = 10.0) -> None:
        """Send SIGTERM, and SIGKILL after `grace_s`."""
        with self._lock:
            self._wanted = False
        if self._process is None:
            return
        self._process.terminate()
        if not self.exited_within(grace_s):
            logger.warning("%s did not exit within %g s of SIGTERM", self.name, grace_s)
            self.kill()

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of its log."""
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_text(errors="replace").splitlines()
            return f"--- {self.log} ---\n" + "\n".join(text[-lines:])
        return ""


_GUARD = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
os.killpg(0, signal.SIGKILL)
"""


class _Guard:
    """The leader of a process group that ends with this process; `group` is for Popen."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self.group = self._process.pid

    def close(self) -> None:
        """Kill whatever is left in the group; may be called twice."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


# --- ports ----------------------------------------------------------------------------------------

# Below Linux's ephemeral range (32768 and up), so that the port of a server that is down is not
# given to an outgoing connection of another process.
_CANDIDATES = range(20000, 32000)
_reservations: dict[int, int] = {}
"""File descriptor of one abstract socket per port: another testbed on this machine does not choose
the port, even while its server is down. The kernel closes them when this process ends."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, reserved for this process.

    Raises:
        OSError: none of several hundred ports is free.
    """
    for port in random.sample(_CANDIDATES, 500):
        if _reserve(port):
            return port
    raise OSError("no free port on 127.0.0.1")


def _reserve(port: int) -> bool:
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0acesniper-testbed-port-{port}")
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(("127.0.0.1", port))
    except OSError:
        reservation.close()
        return False
    _reservations[port] = reservation.detach()
    return True


# --- readiness ------------------------------------------------------------------------------------


def http_ok(port: int, path: str) -> Ready:
    """Whether http://127.0.0.1:PORT/PATH responds with 200."""

    def ready() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, _REQUEST_TIMEOUT_S)
        return _status(connection, path) == 200

    return ready


def https_ok(port: int, path: str, *, ca: Path, cert: Path, key: Path) -> Ready:
    """Whether https://127.0.0.1:PORT/PATH responds with 200 to this client certificate."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(cert, key)

    def ready() -> bool:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_REQUEST_TIMEOUT_S, context=context
        )
        return _status(connection, path) == 200

    return ready


def _status(connection: http.client.HTTPConnection, path: str) -> int | None:
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None  # not listening, or not serving yet
    finally:
        connection.close()
