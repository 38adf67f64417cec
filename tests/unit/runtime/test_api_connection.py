"""The way to an API server: what a kubeconfig may hold, and what is imported for it."""

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from acesniper.api.names import PODS
from acesniper.runtime.client import Cluster
from local_server import serving


class RecordingServer:
    """Answers every request with a version, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return web.json_response({"gitVersion": "v1.36.1"})

    @property
    def tokens(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request in self.requests]


def write_kubeconfig(folder: Path, server: str, user: dict[str, Any], **cluster: str) -> Path:
    path = folder / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def exec_plugin(folder: Path) -> dict[str, Any]:
    """A credential plugin that numbers its tokens."""
    program = folder / "plugin"
    program.write_text(
        "#!/bin/sh\n"
        f"echo x >> {folder}/calls\n"
        f"n=$(wc -l < {folder}/calls)\n"
        'echo "{\\"apiVersion\\": \\"client.authentication.k8s.io/v1\\",'
        ' \\"kind\\": \\"ExecCredential\\", \\"status\\": {\\"token\\": \\"t$n\\"}}"\n'
    )
    program.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(program),
            "interactiveMode": "Never",
        }
    }


def id_token(expires_s: float) -> str:
    """An unsigned JSON Web Token."""
    parts = ({"alg": "none"}, {"exp": int(expires_s)})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, b"signature"]).decode()


async def fetch_twice(kubeconfig: Path) -> None:
    async with Cluster.connect(kubeconfig) as cluster:
        assert cluster.namespace == "ns"
        await cluster.fetch("/version")
        await cluster.fetch("/version")


async def test_a_token_is_sent_with_every_request(tmp_path: Path) -> None:
    server = RecordingServer()
    async with serving(server.handle) as url:
        await fetch_twice(write_kubeconfig(tmp_path, url, {"token": "secret"}))

    assert server.tokens == ["Bearer secret"] * 2


async def test_the_token_of_an_exec_plugin_is_sent(tmp_path: Path) -> None:
    server = RecordingServer()
    async with serving(server.handle) as url:
        await fetch_twice(write_kubeconfig(tmp_path, url, exec_plugin(tmp_path)))

    assert server.tokens == ["Bearer t1"] * 2


async def test_an_openid_connect_token_is_sent(tmp_path: Path) -> None:
    server, token = RecordingServer(), id_token(time.time() + 3600)
    settings = {"id-token": token, "client-id": "x", "idp-issuer-url": "https://issuer"}
    user = {"auth-provider": {"name": "oidc", "config": settings}}
    async with serving(server.handle) as url:
        await fetch_twice(write_kubeconfig(tmp_path, url, user))

    assert server.tokens == [f"Bearer {token}"] * 2


async def test_requests_go_through_the_proxy_of_the_kubeconfig(tmp_path: Path) -> None:
    proxy = RecordingServer()
    async with serving(proxy.handle) as url:
        target = {"token": "secret"}
        path = write_kubeconfig(tmp_path, "http://api.example", target, **{"proxy-url": url})
        await fetch_twice(path)

    assert [request.headers["Host"] for request in proxy.requests] == ["api.example"] * 2


async def test_selectors_are_quoted_in_the_query(tmp_path: Path) -> None:
    server = RecordingServer()
    async with (
        serving(server.handle) as url,
        Cluster.connect(write_kubeconfig(tmp_path, url, {"token": "x"})) as cluster,
    ):
        with pytest.raises(KeyError):
            await cluster.list(PODS, labels="app=a b,tier in (x,y)")

    assert server.requests[0].query["labelSelector"] == "app=a b,tier in (x,y)"
    assert "%3D" in server.requests[0].raw_path


def test_the_rest_of_the_client_library_is_not_imported_and_stays_importable() -> None:
    program = (
        "import sys, acesniper.runtime.client\n"
        "heavy = ('kubernetes', 'urllib3', 'requests', 'pydantic', 'websocket')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "import kubernetes.aio.client as client\n"
        "print(client.ApiClient.__name__, client.V1Pod.__name__)"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["[]", "ApiClient V1Pod"]
