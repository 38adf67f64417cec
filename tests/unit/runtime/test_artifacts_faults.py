"""Servers, stores and Secrets that are not what they should be, over plain sockets and TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acesniper.api.address import Address
from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.runtime.artifacts import Bucket, Credentials, DownloadLimits, download, http
from acesniper.testbed.credentials import Authority

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PIECES = 500
"""How often a hostile server goes on; not for ever, so that a client without an end fails too."""
PACE_S = 0.01
TOTAL_S = 0.3


@contextmanager
def saying(
    head: bytes,
    piece: bytes = b"",
    pace_s: float = 0.0,
    tls: ssl.SSLContext | None = None,
    asked: bool = True,
) -> Iterator[str]:
    """Answers whatever it is asked with `head`, then piece after piece; yields HOST:PORT."""
    over = threading.Event()

    def answer(caller: socket.socket) -> None:
        try:
            with tls.wrap_socket(caller, server_side=True) if tls else caller as client:
                if asked:
                    client.recv(65536)
                client.sendall(head)
                for _ in range(PIECES if piece else 0):
                    client.sendall(piece)
                    if over.wait(pace_s):
                        return
        except OSError:
            return  # the client has left

    def serve() -> None:
        while not over.is_set():
            try:
                caller, _ = listening.accept()
            except OSError:
                return
            answering = threading.Thread(target=answer, args=(caller,))
            answering.start()
            threads.append(answering)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads = [threading.Thread(target=serve)]
        threads[0].start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def fetch(uri: str, folder: Path, **secret: str) -> str:
    limits = DownloadLimits(total_s=TOTAL_S)
    credentials = Credentials(secret)
    address = Address.parse(uri)
    return download(address, folder / "f", sha256="0" * 64, credentials=credentials, limits=limits)


@pytest.mark.parametrize(
    ("head", "piece", "pace_s"),
    [
        pytest.param(OK + b"X: ", b"y", PACE_S, id="a header that goes on"),
        pytest.param(OK + b"\r\n", b"y", PACE_S, id="a body that trickles"),
        pytest.param(CHUNKED + b"1;", b"y", PACE_S, id="the length of a chunk that goes on"),
        pytest.param(CHUNKED + b"0\r\n", b"X: y\r\n" * 9999, 0.0, id="headers after the body"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999, 0.0, id="going to answer soon"),
    ],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_no_server_holds_its_client_for_longer_than_the_whole_may_take(
    tmp_path: Path, head: bytes, piece: bytes, pace_s: float, secure: bool
) -> None:
    authority = Authority(tmp_path / "pki", "ca")
    served = authority.serving("store")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(served.cert, served.key)
    scheme, ca = ("https", authority.ca.cert.read_text()) if secure else ("http", "")

    with (
        saying(head, piece, pace_s, tls if secure else None) as host,
        pytest.raises(Unavailable, match=r"not finished after 0\.3 s"),
    ):
        fetch(f"{scheme}://{host}/m.onnx", tmp_path, **{"ca.crt": ca})


def test_a_server_of_an_unknown_authority_is_not_asked(tmp_path: Path) -> None:
    served = Authority(tmp_path / "pki", "ca").serving("store")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(served.cert, served.key)

    with saying(OK, tls=tls) as host, pytest.raises(Unavailable, match="certificate verify failed"):
        fetch(f"https://{host}/m.onnx", tmp_path)


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("http://{}/m", {"token": "geheim\nx"}),
        ("http://{}/m", {"token": "geheim\0x"}),
        ("http://{}/m", {"token": "geheim\u2026"}),
        ("s3://b/k?endpoint=http://{}", {"accessKeyId": "geheim\nx", "secretAccessKey": "geheim"}),
        ("s3://b/k?endpoint=http://{}", {"accessKeyId": "x", "sessionToken": "geheim\nx"}),
    ],
)
def test_a_credential_that_no_header_can_carry_is_not_repeated(
    tmp_path: Path, uri: str, secret: dict[str, str]
) -> None:
    with saying(OK) as host, pytest.raises(Unavailable, match="in an HTTP header") as caught:
        fetch(uri.format(host), tmp_path, **secret)

    assert "geheim" not in str(caught.value)


def test_what_a_server_says_of_itself_is_cut_and_cannot_draw_on_a_terminal(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 404 \x1b[31m" + b"r" * 60_000 + b"\r\n\r\n"

    with saying(answer) as host, pytest.raises(Unavailable, match="responds 404") as caught:
        fetch(f"http://{host}/m", tmp_path)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "answer", [b"[]", b"null", b'"x"', b"{}", b'{"token": 1}', b"[" * 100_000, b"no JSON"]
)
def test_a_registry_that_sells_no_token_is_said(tmp_path: Path, answer: bytes) -> None:
    length = f"Content-Length: {len(answer)}\r\n\r\n".encode()
    with saying(OK + length + answer) as shop:
        asks = f'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="http://{shop}/t"\r\n\r\n'
        with saying(asks.encode()) as host, pytest.raises(Unavailable, match="the registry's"):
            fetch(f"oci+http://{host}/net", tmp_path)


@pytest.mark.parametrize("config", ["[]", '{"auths": []}', "null", "[" * 100_000])
def test_a_docker_configuration_of_another_shape_is_said(config: str) -> None:
    with pytest.raises(InvalidInput, match=r"\.dockerconfigjson"):
        Credentials({".dockerconfigjson": config}).basic("host")


def test_a_secret_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidInput, match="key token is not text"):
        Credentials.read(tmp_path)


@pytest.mark.parametrize("uri", ["s3://b/k?endpoint=nonsense", "s3://b/k?endpoint=file:///etc"])
def test_an_endpoint_that_is_none_is_said(tmp_path: Path, uri: str) -> None:
    with pytest.raises(Unavailable, match="unknown url type"):
        fetch(uri, tmp_path)


def test_an_output_is_sent_piece_by_piece_for_each_has_the_patience_of_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sent at once, all of it would have to pass in that time, however slow the line is."""
    content = bytes(1_000_000)
    pieces: list[bytes] = []
    monkeypatch.setattr(http._Plain, "sendall", lambda _, piece: pieces.append(bytes(piece)))

    with saying(OK + b"Content-Length: 0\r\n\r\n", asked=False) as host:
        address = Address.parse(f"s3://results/night?endpoint=http://{host}")
        Bucket(address, Credentials(), lambda: datetime(2026, 1, 1, tzinfo=UTC)).put("o", content)

    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert body == content
    assert b"content-length: 1000000" in head.lower()
    assert b"chunked" not in head, "which S3 does not take"
    assert max(map(len, pieces)) < 100_000
