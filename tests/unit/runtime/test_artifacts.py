"""Requests, credentials and errors of a download."""

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acesniper.api.address import Address
from acesniper.domain.errors import InvalidInput, InvalidModel, Unavailable
from acesniper.runtime.artifacts import Credentials, DownloadLimits, download, oci
from acesniper.runtime.artifacts.http import Transfer
from local_server import respond

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
BASIC = "Basic dXNlcjpnZWhlaW0="
SECRET = Credentials({"username": "user", "password": "geheim"})

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Run a server that answers every GET; yields HOST:PORT."""

    class GetHandler(Handler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), GetHandler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{http_server.server_port}"
        finally:
            http_server.shutdown()
            thread.join()


def fetch(
    uri: str,
    folder: Path,
    credentials: Credentials = Credentials(),  # noqa: B008 - frozen
    sha256: str | None = DIGEST,
    limits: DownloadLimits = DownloadLimits(),  # noqa: B008 - frozen
) -> bytes:
    target = folder / "file"
    download(Address.parse(uri), target, sha256=sha256, credentials=credentials, limits=limits)
    return target.read_bytes()


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({"username": "user", "password": "geheim"}, BASIC),
        ({"token": "abc"}, "Bearer abc"),
        ({"region": "x"}, None),
    ],
    ids=["password", "token", "none"],
)
def test_credentials_are_sent_as_an_authorization_header(
    tmp_path: Path, values: dict[str, str], sent: str | None
) -> None:
    received: list[str | None] = []

    def answer(handler: Handler) -> None:
        received.append(handler.headers.get("Authorization"))
        respond(handler, 200, DATA)

    with server(answer) as host:
        assert fetch(f"http://{host}/m.onnx", tmp_path, Credentials(values)) == DATA

    assert received == [sent]


def test_credentials_are_not_sent_to_the_target_of_a_redirect(tmp_path: Path) -> None:
    received: list[str | None] = []

    def redirected(handler: Handler) -> None:
        received.append(handler.headers.get("Authorization"))
        respond(handler, 200, DATA)

    with (
        server(redirected) as there,
        server(lambda h: respond(h, 307, Location=f"http://{there}/")) as host,
    ):
        assert fetch(f"http://{host}/m.onnx", tmp_path, SECRET) == DATA

    assert received == [None]


def test_a_registry_request_is_repeated_with_the_token_it_demands(tmp_path: Path) -> None:
    received: list[tuple[str, str | None]] = []

    def answer(handler: Handler) -> None:
        authorization = handler.headers.get("Authorization")
        received.append((handler.path, authorization))
        if handler.path.startswith("/token"):
            respond(handler, 200, b'{"token": "issued"}')
        elif authorization == "Bearer issued":
            respond(handler, 200, DATA)
        else:
            realm = f"http://{handler.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="reg",scope="repository:net:pull"'
            respond(handler, 401, WWW_Authenticate=challenge)

    with server(answer) as host:
        assert fetch(f"oci+http://{host}/net:v1", tmp_path, SECRET) == DATA

    assert [path for path, _ in received] == [
        f"/v2/net/blobs/sha256:{DIGEST}",
        "/token?service=reg&scope=repository%3Anet%3Apull",
        f"/v2/net/blobs/sha256:{DIGEST}",
    ]
    assert [sent for _, sent in received] == [None, BASIC, "Bearer issued"]


def test_a_password_is_not_sent_to_a_token_realm_without_tls() -> None:
    address = Address.parse("oci://registry.example/net")

    with pytest.raises(Unavailable, match="with TLS"):
        oci._authorization(
            'Bearer realm="http://registry.example/token"',
            "https://registry.example/v2/net/blobs/sha256:0",
            address,
            SECRET,
            Transfer.after(1.0),
        )


def test_a_truncated_download_is_a_temporary_failure(tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[:100])

    with server(answer) as host, pytest.raises(Unavailable, match="6900 bytes are missing"):
        fetch(f"http://{host}/m.onnx", tmp_path)


def test_an_input_needs_no_digest(tmp_path: Path) -> None:
    with server(lambda handler: respond(handler, 200, DATA)) as host:
        assert fetch(f"http://{host}/x.npy", tmp_path, sha256=None) == DATA


def test_a_download_above_the_size_limit_is_rejected(tmp_path: Path) -> None:
    with (
        server(lambda handler: respond(handler, 200, DATA)) as host,
        pytest.raises(InvalidModel, match="larger than"),
    ):
        fetch(f"http://{host}/m.onnx", tmp_path, limits=DownloadLimits(most_bytes=100))


def test_a_signature_in_a_uri_is_not_repeated_in_messages(tmp_path: Path) -> None:
    with (
        server(lambda handler: respond(handler, 403)) as host,
        pytest.raises(Unavailable, match="responds 403") as caught,
    ):
        fetch(f"http://{host}/m.onnx?signature=geheim", tmp_path)

    assert "geheim" not in str(caught.value)


def test_a_mounted_secret_is_read_and_hidden_in_its_repr(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("user\n")
    (tmp_path / "password").write_text("geheim\n")

    credentials = Credentials.read(tmp_path)

    assert credentials.authorization() == BASIC
    assert "geheim" not in repr(credentials)


def test_the_error_for_an_empty_secret_names_the_expected_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has none of the keys username, password, token"):
        Credentials.read(tmp_path)


def test_an_invalid_docker_configuration_is_not_repeated_in_messages() -> None:
    secret = Credentials({".dockerconfigjson": '{"auths": geheim'})

    with pytest.raises(InvalidInput, match="is not JSON") as caught:
        secret.basic("host")

    assert "geheim" not in str(caught.value)
