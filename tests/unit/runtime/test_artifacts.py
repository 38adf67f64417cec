"""What is sent where while a file is fetched, and what becomes of what goes wrong."""

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
from acesniper.runtime.artifacts.http import Deadline

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
BASIC = "Basic dXNlcjpnZWhlaW0="
SECRET = Credentials({"username": "user", "password": "geheim"})

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Answers every GET; yields HOST:PORT."""

    class Asked(Handler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


def give(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


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
def test_a_secret_opens_a_server(tmp_path: Path, values: dict[str, str], sent: str | None) -> None:
    seen: list[str | None] = []

    def answer(handler: Handler) -> None:
        seen.append(handler.headers.get("Authorization"))
        give(handler, 200, DATA)

    with server(answer) as host:
        assert fetch(f"http://{host}/m.onnx", tmp_path, Credentials(values)) == DATA

    assert seen == [sent]


def test_credentials_are_not_sent_on_to_where_a_server_redirects(tmp_path: Path) -> None:
    seen: list[str | None] = []

    def elsewhere(handler: Handler) -> None:
        seen.append(handler.headers.get("Authorization"))
        give(handler, 200, DATA)

    with (
        server(elsewhere) as there,
        server(lambda h: give(h, 307, Location=f"http://{there}/")) as host,
    ):
        assert fetch(f"http://{host}/m.onnx", tmp_path, SECRET) == DATA

    assert seen == [None]


def test_a_registry_is_asked_with_the_token_that_it_demands(tmp_path: Path) -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(handler: Handler) -> None:
        authorization = handler.headers.get("Authorization")
        seen.append((handler.path, authorization))
        if handler.path.startswith("/token"):
            give(handler, 200, b'{"token": "bought"}')
        elif authorization == "Bearer bought":
            give(handler, 200, DATA)
        else:
            realm = f"http://{handler.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="reg",scope="repository:net:pull"'
            give(handler, 401, WWW_Authenticate=challenge)

    with server(answer) as host:
        assert fetch(f"oci+http://{host}/net:v1", tmp_path, SECRET) == DATA

    assert [path for path, _ in seen] == [
        f"/v2/net/blobs/sha256:{DIGEST}",
        "/token?service=reg&scope=repository%3Anet%3Apull",
        f"/v2/net/blobs/sha256:{DIGEST}",
    ]
    assert [sent for _, sent in seen] == [None, BASIC, "Bearer bought"]


def test_a_password_is_not_sent_in_the_clear_because_a_registry_says_so() -> None:
    address = Address.parse("oci://registry.example/net")

    with pytest.raises(Unavailable, match="without TLS"):
        oci._authorization(
            'Bearer realm="http://elsewhere/token"', address, SECRET, Deadline.after(1.0)
        )


def test_what_is_cut_off_may_come_later(tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[:100])

    with server(answer) as host, pytest.raises(Unavailable, match="6900 bytes are missing"):
        fetch(f"http://{host}/m.onnx", tmp_path)


def test_an_input_may_be_any_file(tmp_path: Path) -> None:
    with server(lambda handler: give(handler, 200, DATA)) as host:
        assert fetch(f"http://{host}/x.npy", tmp_path, sha256=None) == DATA


def test_what_is_larger_than_allowed_is_given_up(tmp_path: Path) -> None:
    with (
        server(lambda handler: give(handler, 200, DATA)) as host,
        pytest.raises(InvalidModel, match="larger than"),
    ):
        fetch(f"http://{host}/m.onnx", tmp_path, limits=DownloadLimits(most_bytes=100))


def test_a_signature_in_an_address_is_not_repeated_in_messages(tmp_path: Path) -> None:
    with (
        server(lambda handler: give(handler, 403)) as host,
        pytest.raises(Unavailable, match="responds 403") as caught,
    ):
        fetch(f"http://{host}/m.onnx?signature=geheim", tmp_path)

    assert "geheim" not in str(caught.value)


def test_a_mounted_secret_is_read_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("user\n")
    (tmp_path / "password").write_text("geheim\n")

    found = Credentials.read(tmp_path)

    assert found.authorization() == BASIC
    assert "geheim" not in repr(found)


def test_a_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has none of the keys username, password, token"):
        Credentials.read(tmp_path)


def test_a_broken_docker_configuration_is_not_repeated() -> None:
    secret = Credentials({".dockerconfigjson": '{"auths": geheim'})

    with pytest.raises(InvalidInput, match="is not JSON") as caught:
        secret.basic("host")

    assert "geheim" not in str(caught.value)
