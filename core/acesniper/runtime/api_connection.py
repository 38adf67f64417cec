"""HTTP connection to a Kubernetes API server: the only module that imports the client library.

The library provides configuration (kubeconfig files, exec plugins, OpenID Connect, service
accounts), TLS, proxies and the HTTP session. When its packages are initialised they import much
more: a second, synchronous client with its HTTP stack, OAuth, websockets and pydantic, which takes
a second of processor time. So the modules that we need are loaded without initialising packages.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp

LIBRARY = "kubernetes"
PACKAGES = (
    "kubernetes.aio",
    "kubernetes.aio.client",
    "kubernetes.aio.config",
    "kubernetes.aio.utils",
)
MAX_CONNECTIONS = 200
USER_AGENT = "acesniper"


@contextmanager
def _uninitialised_packages() -> Iterator[None]:
    """Within the block, the packages of the library are empty modules with a search path.

    Afterwards `sys.modules` is as before: another importer gets the whole library.
    """
    before = {name: module for name, module in sys.modules.items() if _in_library(name)}
    spec = find_spec(LIBRARY)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {LIBRARY!r}", name=LIBRARY)
    root = Path(next(iter(spec.submodule_search_locations)))
    try:
        for name in before:
            del sys.modules[name]
        for name in (LIBRARY, *PACKAGES):
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
        yield
    finally:
        for name in [name for name in sys.modules if _in_library(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _in_library(module: str) -> bool:
    return module == LIBRARY or module.startswith(f"{LIBRARY}.")


with _uninitialised_packages():
    Configuration: Any = import_module("kubernetes.aio.client.configuration").Configuration
    _rest = import_module("kubernetes.aio.client.rest")
    # What `kubernetes.aio.config` imports from `kubernetes.aio.client`; it needs no ApiClient here.
    vars(sys.modules["kubernetes.aio.client"]).update(Configuration=Configuration, ApiClient=None)
    _kube_config = import_module("kubernetes.aio.config.kube_config")
    _incluster_config = import_module("kubernetes.aio.config.incluster_config")
    ConfigException: type[Exception] = import_module(
        "kubernetes.aio.config.config_exception"
    ).ConfigException

Response = Any
"""The library's response: `status`, `getheader(name)`, `await read()`, and aiohttp's `response`."""


async def load_configuration(kubeconfig: Path | None, context: str | None) -> tuple[Any, str]:
    """The configuration of a kubeconfig file, or of this pod's service account, and its namespace.

    Raises:
        ConfigException: it is incomplete.
        OSError: a file cannot be read.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = MAX_CONNECTIONS
    if kubeconfig is None:
        _incluster_config.load_incluster_config(client_configuration=configuration)
        return configuration, "default"
    loader = await _kube_config.load_kube_config(
        str(kubeconfig), context, client_configuration=configuration, persist_config=False
    )
    return configuration, loader.current_context["context"].get("namespace") or "default"


class ApiConnection:
    """A pool of HTTP connections to an API server; an async context manager that closes it."""

    def __init__(self, configuration: Any) -> None:  # noqa: ANN401 - the library has no types
        self._configuration = configuration
        self._http = _rest.RESTClientObject(configuration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> Response:
        """Send a request with the current credentials, which may have to be refreshed first."""
        headers = {
            "Accept": "application/json",
            "Content-Type": content_type,
            "User-Agent": USER_AGENT,
        }
        for setting in (await self._configuration.auth_settings()).values():
            headers[setting["key"]] = setting["value"]
        url = f"{self._configuration.host}{path}"
        if query:
            url += f"?{urlencode(query, quote_via=quote, safe='/')}"
        return await self._http.request(
            method, url, headers=headers, body=body, _request_timeout=limits
        )


async def lines_of(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; `StreamReader.readline` limits it."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
        await asyncio.sleep(0)
