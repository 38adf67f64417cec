"""Supervised child processes: started, waited for, killed, started again, and stopped in order."""

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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from acesniper.testbed.errors import NotReady

logger = logging.getLogger(__name__)

Ready = Callable[[], bool]
"""Says whether a process serves yet; asked again and again, so it must answer fast."""

_POLL_S = 0.05
_TAIL_LINES = 25


@dataclass
class Child:
    """One program with its log file; `start` may be called again after `kill` or `stop`."""

    name: str
    argv: Sequence[str | Path]
    group: int
    log: Path
    env: Mapping[str, str] | None = None
    """Added to this process's environment."""
    ready: Ready | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int:
        """The process id. Raises NotReady when it was never started."""
        if self._process is None:
            raise NotReady(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None while it runs or before the first start."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start without waiting; does nothing when it runs already."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(each) for each in self.argv],
                env={**os.environ, **(self.env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self.group,
            )

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once `ready` says so. Raises NotReady when it dies before, or time runs out."""
        if self.ready is not None:
            self.wait_until(self.ready, timeout_s)

    def wait_until(self, ready: Ready, timeout_s: float = 60.0) -> None:
        """Like `wait_ready`, for another question about something this process has to do."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.exited_within(_POLL_S):
                raise NotReady(f"{self.name} ended with code {self.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} was not ready within {timeout_s:g} s\n{self.tail()}")

    def exited_within(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for the end; True when the process is gone."""
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return not self.running

    def kill(self) -> None:
        """SIGKILL, the way a crash or the OOM killer ends it, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, grace_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after `grace_s`."""
        if self._process is None:
            return
        self._process.terminate()
        if not self.exited_within(grace_s):
            logger.warning("%s ignored SIGTERM for %g s", self.name, grace_s)
            self.kill()

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The end of its log."""
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_text(errors="replace").splitlines()
            return f"--- {self.log} ---\n" + "\n".join(text[-lines:])
        return ""


class Children:
    """The processes of one testbed by name; leaving the context stops them, last started first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._guard = Guard()
        self._children: dict[str, Child] = {}

    def __getitem__(self, name: str) -> Child:
        """The process called `name`. Raises KeyError naming the known ones."""
        if name not in self._children:
            raise KeyError(f"{name}: not one of {', '.join(self._children)}")
        return self._children[name]

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        ready: Ready | None = None,
    ) -> Child:
        """Start a program; its output goes to `<name>.log`. A stopped one's name may be reused."""
        known = self._children.pop(name, None)
        if known is not None and known.running:
            self._children[name] = known
            raise NotReady(f"{name} runs already")
        log = self._logs / f"{name}.log"
        child = Child(name, argv, self._guard.group, log, env=env, ready=ready)
        self._children[name] = child
        child.start()
        return child

    def stop(self) -> None:
        """Stop all in the reverse order of their start, then whatever they left behind."""
        for child in reversed(list(self._children.values())):
            child.stop()
        self._guard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


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


# Below Linux's ephemeral range (32768 and up): while a server is down, an outgoing connection of
# some other process must not be given its port, or it could not be started again.
_CANDIDATES = range(20000, 32000)


def free_port() -> int:
    """A port nobody listens on right now. Raises OSError when hundreds of tries found none."""
    for port in random.sample(_CANDIDATES, 500):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port on 127.0.0.1")


_TIMEOUT_S = 2.0


def http_ok(port: int, path: str) -> Ready:
    """Whether http://127.0.0.1:PORT/PATH answers 200."""
    return lambda: _status(http.client.HTTPConnection("127.0.0.1", port, _TIMEOUT_S), path) == 200


def https_ok(port: int, path: str, *, ca: Path, cert: Path, key: Path) -> Ready:
    """Whether https://127.0.0.1:PORT/PATH answers 200 to this client certificate."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(cert, key)

    def ready() -> bool:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_TIMEOUT_S, context=context
        )
        return _status(connection, path) == 200

    return ready


def _status(connection: http.client.HTTPConnection, path: str) -> int | None:
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None  # not listening, or not speaking yet
    finally:
        connection.close()
