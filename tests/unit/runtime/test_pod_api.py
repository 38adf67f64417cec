import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.runtime.pod_api import PodApi
from acesniper.testbed.credentials import Authority


class ApiServer(http.server.BaseHTTPRequestHandler):
    """An API server with one object and one valid token."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer secret":
            self.send_error(403)
        elif self.path == "/cut-off":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{")
        elif self.path != "/known":
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"kind": "Known"}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[PodApi]:
    authority = Authority(tmp_path, "ca")
    serving = authority.serving("serving")
    (tmp_path / "token").write_text("secret")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(serving.cert, serving.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield PodApi(f"https://127.0.0.1:{server.server_port}", tmp_path)
        server.shutdown()
        thread.join()


def test_an_object_is_read_with_the_token_of_the_service_account(api: PodApi) -> None:
    assert api.get("/known") == {"kind": "Known"}


def test_a_missing_object_is_none(api: PodApi) -> None:
    assert api.get("/unknown") is None


def test_a_truncated_response_is_unavailable(api: PodApi) -> None:
    with pytest.raises(Unavailable, match="does not answer: IncompleteRead"):
        api.get("/cut-off")


def test_a_renewed_token_is_used_for_the_next_request(api: PodApi) -> None:
    (api.account / "token").write_text("old")
    with pytest.raises(Unavailable, match="403"):
        api.get("/known")
    (api.account / "token").write_text("secret")

    assert api.get("/known") is not None


def test_a_certificate_of_another_authority_is_rejected(api: PodApi, tmp_path: Path) -> None:
    Authority(tmp_path / "other", "ca")
    (tmp_path / "ca.crt").write_bytes((tmp_path / "other/ca.crt").read_bytes())

    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        api.get("/known")


@pytest.mark.parametrize(
    ("host", "url"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
)
def test_the_server_address_is_read_from_the_environment(host: str, url: str) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}

    assert PodApi.here(environment).url == url


def test_outside_a_pod_the_missing_environment_is_reported() -> None:
    with pytest.raises(InvalidInput, match="run in a pod"):
        PodApi.here({})
