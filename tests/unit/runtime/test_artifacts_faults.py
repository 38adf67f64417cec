"""Downloads from faulty or hostile servers and with invalid Secrets, over plain sockets and TLS."""

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
"""Pieces that a hostile server sends; finite, so that a client without a timeout ends too."""
PACE_S = 0.01
TOTAL_S = 0.3


@contextmanager
def raw_server(
    head: bytes,
    piece: bytes = b"",
    pace_s: float = 0.0,
    tls: ssl.SSLContext | None = None,
    reads_request: bool = True,
) -> Iterator[str]:
    """Run a server that answers any request with `head`, then piece by piece; yields HOST:PORT."""
    stopped = threading.Event()

    def answer(accepted: socket.socket) -> None:
        try:
            with tls.wrap_socket(accepted, server_side=True) if tls else accepted as client:
                if reads_request:
                    client.recv(65536)
                client.sendall(head)
                for _ in range(PIECES if piece else 0):
                    client.sendall(piece)
                    if stopped.wait(pace_s):
                        return
        except OSError:
            return  # the client has disconnected

    def serve() -> None:
        while not stopped.is_set():
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            connection = threading.Thread(target=answer, args=(accepted,))
            connection.start()
            threads.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads = [threading.Thread(target=serve)]
        threads[0].start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
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
        pytest.param(OK + b"X: ", b"y", PACE_S, id="endless header"),
        pytest.param(OK + b"\r\n", b"y", PACE_S, id="slow body"),
        pytest.param(CHUNKED + b"1;", b"y", PACE_S, id="endless chunk size"),
        pytest.param(CHUNKED + b"0\r\n", b"X: y\r\n" * 9999, 0.0, id="endless trailers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999, 0.0, id="endless 100 Continue"),
    ],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_no_server_delays_the_client_beyond_the_total_timeout(
    tmp_path: Path, head: bytes, piece: bytes, pace_s: float, secure: bool
) -> None:
    authority = Authority(tmp_path / "pki", "ca")
    served = authority.serving("store")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(served.cert, served.key)
    scheme, ca = ("https", authority.ca.cert.read_text()) if secure else ("http", "")

    with (
        raw_server(head, piece, pace_s, tls if secure else None) as host,
        pytest.raises(Unavailable, match=r"not finished after 0\.3 s"),
    ):
        fetch(f"{scheme}://{host}/m.onnx", tmp_path, **{"ca.crt": ca})


def test_a_server_of_an_unknown_certificate_authority_is_rejected(tmp_path: Path) -> None:
    served = Authority(tmp_path / "pki", "ca").serving("store")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(served.cert, served.key)

    with (
        raw_server(OK, tls=tls) as host,
        pytest.raises(Unavailable, match="certificate verify failed"),
    ):
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
def test_a_credential_invalid_in_a_header_is_not_repeated_in_messages(
    tmp_path: Path, uri: str, secret: dict[str, str]
) -> None:
    with raw_server(OK) as host, pytest.raises(Unavailable, match="in an HTTP header") as caught:
        fetch(uri.format(host), tmp_path, **secret)

    assert "geheim" not in str(caught.value)


def test_a_server_reason_is_truncated_and_stripped_of_escapes(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 404 \x1b[31m" + b"r" * 60_000 + b"\r\n\r\n"

    with raw_server(answer) as host, pytest.raises(Unavailable, match="responds 404") as caught:
        fetch(f"http://{host}/m", tmp_path)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "answer", [b"[]", b"null", b'"x"', b"{}", b'{"token": 1}', b"[" * 100_000, b"no JSON"]
)
def test_an_invalid_token_response_is_reported(tmp_path: Path, answer: bytes) -> None:
    length = f"Content-Length: {len(answer)}\r\n\r\n".encode()
    with raw_server(OK + length + answer) as token_server:
        challenge = (
            f'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="http://{token_server}/t"\r\n\r\n'
        )
        with (
            raw_server(challenge.encode()) as host,
            pytest.raises(Unavailable, match="the registry's"),
        ):
            fetch(f"oci+http://{host}/net", tmp_path)


@pytest.mark.parametrize("config", ["[]", '{"auths": []}', "null", "[" * 100_000])
def test_a_docker_configuration_of_the_wrong_shape_is_reported(config: str) -> None:
    with pytest.raises(InvalidInput, match=r"\.dockerconfigjson"):
        Credentials({".dockerconfigjson": config}).basic("host")


def test_the_error_for_a_binary_secret_names_its_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidInput, match="key token is not text"):
        Credentials.read(tmp_path)


@pytest.mark.parametrize("uri", ["s3://b/k?endpoint=nonsense", "s3://b/k?endpoint=file:///etc"])
def test_an_invalid_endpoint_is_reported(tmp_path: Path, uri: str) -> None:
    with pytest.raises(Unavailable, match="unknown url type"):
        fetch(uri, tmp_path)


def test_an_output_is_sent_in_chunks_that_each_have_a_socket_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one piece, the whole output would have to be sent within one socket timeout."""
    content = bytes(1_000_000)
    pieces: list[bytes] = []
    monkeypatch.setattr(http._Plain, "sendall", lambda _, piece: pieces.append(bytes(piece)))

    with raw_server(OK + b"Content-Length: 0\r\n\r\n", reads_request=False) as host:
        address = Address.parse(f"s3://results/night?endpoint=http://{host}")
        Bucket(address, Credentials(), lambda: datetime(2026, 1, 1, tzinfo=UTC)).put("o", content)

    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert body == content
    assert b"content-length: 1000000" in head.lower()
    assert b"chunked" not in head, "S3 does not accept chunked uploads"
    assert max(map(len, pieces)) < 100_000
