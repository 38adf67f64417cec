"""The parts of a real node that need neither root nor containers."""

import socket
import threading
from pathlib import Path

import pytest

from acesniper.testbed.node import host
from acesniper.testbed.node.network import TcpProxy


def test_the_proxy_forwards_both_directions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:

        def answer() -> None:
            connection, _ = target.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            TcpProxy(("127.0.0.1", 0), target.getsockname()) as proxy,
            socket.create_connection(proxy.address) as client,
        ):
            client.sendall(b"hello")
            response = client.recv(100)
        thread.join()

    assert response == b"HELLO"


def test_the_proxy_closes_connections_without_a_target() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unused_address = closed.getsockname()
    with (
        TcpProxy(("127.0.0.1", 0), unused_address) as proxy,
        socket.create_connection(proxy.address) as client,
    ):
        assert client.recv(100) == b""


@pytest.fixture(params=["v1", "v2"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder like /sys/fs/cgroup; the kernel's files in a new cgroup are made beforehand."""
    if request.param == "v2":
        (tmp_path / "cgroup.controllers").touch()
        (tmp_path / "node").mkdir()
        (tmp_path / "node/cpu.max").touch()
        return tmp_path
    for name in ("cpu/node", "cpuset/node", "unified"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cpu/node/cpu.cfs_quota_us").touch()
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3")
    return tmp_path


def test_the_quota_of_a_node_is_written(tree: Path) -> None:
    host.make_cgroup("node", 0.5, tree)

    if (tree / "cgroup.controllers").exists():
        assert (tree / "node/cpu.max").read_text() == "50000 100000"
    else:
        assert (tree / "cpu/node/cpu.cfs_quota_us").read_text() == "50000"
        assert (tree / "cpuset/node/cpuset.cpus").read_text() == "0-3"


def test_a_cgroup_is_removed_with_its_children(tmp_path: Path) -> None:
    for name in ("cpu/node/pods/one", "unified/node"):
        (tmp_path / name).mkdir(parents=True)

    host.remove_cgroup("node", tmp_path)

    assert not (tmp_path / "cpu/node").exists()
    assert not (tmp_path / "unified/node").exists()
