"""Where downloads may connect to, and who may issue tokens: real servers on loopback."""

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from acesniper.api.address import Address
from acesniper.domain.errors import AddressNotAllowed, Unavailable
from acesniper.runtime.artifacts import Credentials, Destinations, DownloadLimits, download
from acesniper.runtime.artifacts.destinations import ANYWHERE, is_public
from acesniper.runtime.artifacts.oci import may_issue_token
from local_server import respond

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
SECRET = Credentials({"username": "user", "password": "geheim"})
LOOPBACK = Destinations(allowed=(ip_network("127.0.0.0/8"),))
PUBLIC = Destinations()

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Server:
    """Answers every GET; remembers path and Authorization of each."""

    def __init__(self, answer: Answer) -> None:
        received: list[tuple[str, str | None]] = []

        class GetHandler(Handler):
            def do_GET(self) -> None:
                received.append((self.path, self.headers.get("Authorization")))
                answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing."""

        self.received = received
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), GetHandler)
        self.port = self.http.server_port
        self.host = f"127.0.0.1:{self.port}"


@contextmanager
def servers(*answers: Answer) -> Iterator[Sequence[Server]]:
    running = [Server(answer) for answer in answers]
    threads = [threading.Thread(target=server.http.serve_forever) for server in running]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        for server, thread in zip(running, threads, strict=True):
            server.http.shutdown()
            server.http.server_close()
            thread.join()


def fetch(uri: str, folder: Path, destinations: Destinations, **options: Credentials) -> bytes:
    target = folder / "file"
    limits = DownloadLimits(total_s=10.0)
    address = Address.parse(uri)
    download(address, target, sha256=DIGEST, limits=limits, destinations=destinations, **options)
    return target.read_bytes()


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "0.0.0.0", "10.4.5.6", "172.31.0.1", "192.168.9.9", "169.254.169.254"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.251", "255.255.255.255"),
        *("198.19.1.1", "::", "::1", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("::ffff:93.184.216.34", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::"),
        *("2001:0:7f00:1::", "2001:db8::1", "3fff::1", "5f00::1", "::7f00:1"),
    ],
)
def test_a_special_address_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::101:101"]
)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1%eth0", "100.64.0.1"]
)
def test_a_resolved_address_is_checked_in_every_form(text: str) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        PUBLIC.check("models.example", ["93.184.216.34", text])

    assert text not in str(caught.value)


def test_an_allowed_network_precedes_what_is_internal() -> None:
    nodes = (ip_network("203.0.114.0/24"),)
    allowed = Destinations((ip_network("203.0.114.9/32"),), internal=lambda: nodes)

    allowed.check("nas", ["203.0.114.9"])
    with pytest.raises(AddressNotAllowed):
        allowed.check("node", ["203.0.114.8"])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"],
)
@pytest.mark.parametrize(
    "scheme", ["http://{}/m.onnx", "oci+http://{}/m", "s3://b/m?endpoint=http://{}"]
)
def test_no_spelling_reaches_a_forbidden_address(tmp_path: Path, host: str, scheme: str) -> None:
    with servers(lambda handler: respond(handler, 200, DATA)) as (server,):
        with pytest.raises(AddressNotAllowed):
            fetch(scheme.format(f"{host}:{server.port}"), tmp_path, PUBLIC)

        assert server.received == []


def test_a_redirect_to_a_forbidden_address_is_not_followed(tmp_path: Path) -> None:
    """The first server is at an allowed address, the second at another one of loopback."""
    first = Destinations(allowed=(ip_network("127.0.0.1/32"),))
    with servers(
        lambda handler: respond(handler, 200, DATA),
        lambda handler: respond(handler, 307, Location=f"http://127.0.0.2:{inner.port}/"),
    ) as (inner, outer):
        with pytest.raises(AddressNotAllowed):
            fetch(f"http://{outer.host}/m.onnx", tmp_path, first)

        assert inner.received == []


def test_a_proxy_of_the_environment_does_not_bypass_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers(lambda handler: respond(handler, 200, DATA)) as (proxy,):
        monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
        with pytest.raises(AddressNotAllowed):
            fetch("http://169.254.169.254/latest/meta-data", tmp_path, LOOPBACK)
        assert proxy.received == []

        assert fetch("http://models.example/m.onnx", tmp_path, ANYWHERE) == DATA


# --- tokens --------------------------------------------------------------------------------------


def registry(realm: Callable[[], str]) -> Answer:
    """A registry that demands a token and remembers the one it receives."""

    def answer(handler: Handler) -> None:
        if (handler.headers.get("Authorization") or "").startswith("Bearer "):
            respond(handler, 200, DATA)
        else:
            respond(handler, 401, WWW_Authenticate=f'Bearer realm="{realm()}"')

    return answer


def issue(handler: Handler) -> None:
    respond(handler, 200, b'{"token": "internal"}')


@pytest.mark.parametrize("destinations", [LOOPBACK, ANYWHERE], ids=["operator", "pod"])
@pytest.mark.parametrize(
    "realm", ["http://{}/token", "http://user@{}/token", "https://{}/token", "http://{}#@x/"]
)
def test_a_foreign_realm_is_not_asked(
    tmp_path: Path, destinations: Destinations, realm: str
) -> None:
    with servers(issue, registry(lambda: realm.format(internal.host))) as (internal, hostile):
        with pytest.raises(Unavailable, match="tokenHost"):
            fetch(f"oci+http://{hostile.host}/r:1", tmp_path, destinations, credentials=SECRET)

        assert internal.received == []
        assert [sent for _, sent in hostile.received] == [None]


def test_the_host_that_the_secret_names_receives_the_password(tmp_path: Path) -> None:
    with servers(issue, registry(lambda: f"http://{issuer.host}/token")) as (issuer, there):
        secret = Credentials({**SECRET.values, "tokenHost": issuer.host})

        assert fetch(f"oci+http://{there.host}/r:1", tmp_path, ANYWHERE, credentials=secret) == DATA
        assert [sent for _, sent in there.received] == [None, "Bearer internal"]
        assert issuer.received == [("/token?", "Basic dXNlcjpnZWhlaW0=")]


def test_a_realm_that_redirects_yields_no_token(tmp_path: Path) -> None:
    """The registry's own realm sends the request to an internal server."""

    def answer(handler: Handler) -> None:
        if handler.path.startswith("/token"):
            respond(handler, 307, Location=f"http://{internal.host}/token")
        else:
            registry(lambda: f"http://{hostile.host}/token")(handler)

    with servers(issue, answer) as (internal, hostile):
        with pytest.raises(Unavailable, match="redirects are not followed"):
            fetch(f"oci+http://{hostile.host}/r:1", tmp_path, LOOPBACK)

        assert internal.received == []


@pytest.mark.parametrize(
    ("realm", "registry_url", "expected"),
    [
        ("https://r.example/token", "https://r.example/v2/x", True),
        ("https://R.example:443/token", "https://r.example/v2/x", True),
        ("https://r.example:8443/token", "https://r.example/v2/x", False),
        ("http://r.example/token", "https://r.example/v2/x", False),
        ("https://auth.docker.io/token", "https://registry-1.docker.io/v2/x", True),
        ("https://auth.docker.io/token", "https://r.example/v2/x", False),
        ("https://r.example@evil.example/token", "https://r.example/v2/x", False),
        ("https://evil.example\\@r.example/", "https://r.example/v2/x", False),
        ("https://r.example:port/token", "https://r.example/v2/x", False),
        ("https:///token", "https://r.example/v2/x", False),
        ("", "https://r.example/v2/x", False),
        ("file:///etc/passwd", "https://r.example/v2/x", False),
    ],
)
def test_only_the_own_or_a_listed_host_issues_tokens(
    realm: str, registry_url: str, expected: bool
) -> None:
    assert may_issue_token(realm, registry_url) is expected
