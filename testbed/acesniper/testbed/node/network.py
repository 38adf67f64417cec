"""The network of a real node: namespaces with a virtual cable, and a proxy to the API server.

A node has network, mount and PID namespaces of its own. Interfaces, firewall rules, mounts and
containers disappear with them when their first process is killed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from acesniper.testbed.errors import CommandFailed
from acesniper.testbed.processes import Child, Children

MAX_NAMESPACES = 250


class NetworkNamespace:
    """Namespaces of a node, connected by a veth pair: `host` is our end, `address` the node's."""

    def __init__(self, children: Children, name: str) -> None:
        self._children = children
        self._name = name

    def __enter__(self) -> Self:
        argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        self._holder = self._children.spawn(
            f"{self._name}-namespaces", [*argv, "--propagation", "private", "sleep", "infinity"]
        )
        try:
            self._holder.wait_until(lambda: self._first() is not None)
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        """Our address on the veth pair."""
        return f"10.203.{self.number}.1"

    @property
    def address(self) -> str:
        """The node's address on the veth pair."""
        return f"10.203.{self.number}.2"

    @property
    def pods(self) -> str:
        """The address range of the node's pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def enter(self) -> Sequence[str]:
        """Prefix of a command that is to run inside the namespaces."""
        return ["nsenter", "--target", str(self._first()), "--net", "--mount", "--pid", "--"]

    def run(self, *argv: str | Path) -> str:
        """Run a command inside the namespaces. Raises CommandFailed."""
        return _run(*self.enter, *argv)

    def close(self) -> None:
        """Kill all processes inside; the kernel then removes the namespaces."""
        if (first := self._first()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
        self._holder.stop()

    def _first(self) -> int | None:
        """The PID of the first process inside, in our PID namespace."""
        holder: Child = self._holder
        with contextlib.suppress(FileNotFoundError):
            listed = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            return int(listed[0]) if listed else None
        return None

    def _connect(self) -> None:
        first = str(self._first())
        for number in range(1, MAX_NAMESPACES):
            link = f"acenode{number}"
            # This fails if another node uses the number.
            made = subprocess.run(
                [
                    "ip",
                    "link",
                    "add",
                    link,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    first,
                ],
                capture_output=True,
            )
            if made.returncode == 0:
                self.number = number
                break
        else:
            raise CommandFailed(f"all {MAX_NAMESPACES} numbers of node networks are in use", "")
        _run("ip", "address", "add", f"{self.host}/24", "dev", link)
        _run("ip", "link", "set", link, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", self.host)
        self.run("mount", "-t", "tmpfs", "tmpfs", "/run")
        # The container runtime must see the kubelet's mounts; the host must not.
        self.run("mount", "--make-rshared", "/")


def _run(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    if done.returncode:
        stderr = done.stderr.strip()
        raise CommandFailed(f"{' '.join(map(str, argv))}: {stderr}", stderr)
    return done.stdout


_CHUNK_BYTES = 1 << 16


class TcpProxy:
    """Forwards connections from `listen` to `target`, until the context is left.

    Through it, nodes reach the API server, which listens on loopback only.
    """

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server(listen)
        self.address: tuple[str, int] = self._server.getsockname()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # close() alone does not wake the thread that waits in accept().
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    # This ends the other direction, too; each thread closes its source.
    source.close()
