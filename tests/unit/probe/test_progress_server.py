"""The runner's progress endpoint over real sockets."""

import socket
import threading
import urllib.request

from acesniper.probe.progress import MAX_CONNECTIONS, ProgressServer


def test_half_open_connections_take_few_threads_of_the_run() -> None:
    server = ProgressServer(total=10)
    before = threading.active_count()
    with server.served(0) as port:
        half_open = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        refused = half_open[MAX_CONNECTIONS:]
        assert [connection.recv(1) for connection in refused] == [b""] * len(refused)

        assert threading.active_count() - before <= MAX_CONNECTIONS + 1
        for connection in half_open:
            connection.close()


def test_a_client_is_answered_after_others_left() -> None:
    server = ProgressServer(total=10)
    server(3)
    with server.served(0) as port:
        for _ in range(3 * MAX_CONNECTIONS):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
                assert b'"done": 3' in response.read()
