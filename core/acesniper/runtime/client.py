"""The cluster, over the official client: the only module that imports it.

Objects are plain JSON mappings: the client's generated classes cost more to build than all our
decisions together. What the client gives us is configuration, authentication and the connection.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp
import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client import rest

from acesniper.domain.errors import Conflict, Forbidden, InvalidInput, Throttled, Unavailable

log = logging.getLogger(__name__)

Object = dict[str, Any]
"""One Kubernetes object as JSON."""
PatchType = Literal["merge", "strategic", "apply", "json"]

_CONTENT_TYPES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
    "json": "application/json-patch+json",
}
REQUEST_LIMITS = aiohttp.ClientTimeout(total=30.0)
FIELD_MANAGER = "acesniper"
KUBECONFIG_ERRORS = (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError)
"""What the client raises over a file that is something else than a kubeconfig."""
MAX_ERROR_CHARS = 1000
"""The API server repeats what it refuses, whole; what it says is written into statuses."""
PAGE_SIZE = 500
"""Objects that one answer to a list holds."""
WATCH_TIMEOUT_S = 240
"""The server ends a watch after this long."""
WATCH_IDLE_TIMEOUT_S = 90.0
"""A watch on which nothing comes for so long was cut without a word: the server sends a bookmark
about once a minute, at the latest after 75 s."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind live in the API."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, name, subresource]
        return "/".join(part for part in parts if part)


PODS = Kind("/api/v1", "pods")
NODES = Kind("/api/v1", "nodes", namespaced=False)
EVENTS = Kind("/api/v1", "events")
CONFIG_MAPS = Kind("/api/v1", "configmaps")
LEASES = Kind("/apis/coordination.k8s.io/v1", "leases")
PRIORITY_CLASSES = Kind("/apis/scheduling.k8s.io/v1", "priorityclasses", namespaced=False)
INFERENCE_TASKS = Kind("/apis/acesniper.io/v1alpha1", "inferencetasks")
MODEL_PROFILES = Kind("/apis/acesniper.io/v1alpha1", "modelprofiles")
DEVICE_PROFILES = Kind("/apis/acesniper.io/v1alpha1", "deviceprofiles", namespaced=False)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class RawResponse:
    """What the API server said to a plain GET; `date` is its own clock's time, as in HTTP."""

    text: str
    date: str | None


class ResourceVersionExpired(Unavailable):
    """The resource version to watch from is too old; list again."""


class NotFound(Unavailable):
    """The object does not exist (any more)."""


class NamespaceTerminating(Forbidden):
    """The namespace is being deleted: nothing can be made in it any more."""


@asynccontextmanager
async def _translated(what: str) -> AsyncIterator[None]:
    """Turn the transport's errors into ours, at the place of the call."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError) as error:
        why = str(error) or repr(error)  # a timeout says nothing
        raise Unavailable(f"{what}: the API server does not answer: {why}") from error


def _error_of(status: int, body: bytes, retry_after: str | None, what: str) -> Exception:
    causes: list[Object] = []
    try:
        said = json.loads(body)
        message = str(said.get("message", ""))
        causes = (said.get("details") or {}).get("causes") or []
    except (ValueError, AttributeError):
        message = body[:200].decode(errors="replace")
    if len(message) > MAX_ERROR_CHARS:
        message = f"{message[:MAX_ERROR_CHARS]}..."
    text = f"{what}: {message or 'no reason given'} ({status})"
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFound(text)
        case HTTPStatus.FORBIDDEN if any(_is_namespace_terminating(each) for each in causes):
            return NamespaceTerminating(text)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Forbidden(text)
        case HTTPStatus.CONFLICT:
            return Conflict(text)
        case HTTPStatus.GONE:
            return ResourceVersionExpired(text)
        case HTTPStatus.TOO_MANY_REQUESTS:
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
            return Throttled(text, seconds)
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            return InvalidInput(text)
    return Unavailable(text)


def _is_namespace_terminating(cause: Object) -> bool:
    return cause.get("reason") == "NamespaceTerminating"


class Cluster:
    """A connection to one API server."""

    def __init__(
        self,
        api: client.ApiClient,
        watch_silence_s: float = WATCH_IDLE_TIMEOUT_S,
        namespace: str = "default",
    ) -> None:
        """Use a client; a watch is given up when nothing comes on it for `watch_silence_s`."""
        self._api = api
        self._watch_silence_s = watch_silence_s
        self.namespace = namespace
        """The one that a kubeconfig's context names."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        watch_silence_s: float = WATCH_IDLE_TIMEOUT_S,
        context: str | None = None,
    ) -> AsyncIterator[Self]:
        """Connect by a kubeconfig file, or as the pod we run in when there is none.

        Raises:
            InvalidInput: neither is usable.
        """
        settings = client.Configuration()
        namespace = "default"
        try:
            if kubeconfig is not None:
                loader = await config.load_kube_config(
                    str(kubeconfig), context, client_configuration=settings, persist_config=False
                )
                namespace = loader.current_context["context"].get("namespace") or namespace
            else:
                config.load_incluster_config(client_configuration=settings)
            settings.connection_pool_maxsize = 200
            api = client.ApiClient(configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise InvalidInput(f"no way to the cluster: {error}; pass --kubeconfig FILE") from error
        except KUBECONFIG_ERRORS as error:
            raise InvalidInput(f"{kubeconfig} is no kubeconfig: {error}") from error
        async with api:
            yield cls(api, watch_silence_s, namespace)

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        content_type: str = "application/json",
        limits: aiohttp.ClientTimeout = REQUEST_LIMITS,
    ) -> rest.RESTResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = await self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._api.call_api(*request, _request_timeout=limits)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            retry_after = answer.getheader("Retry-After")
            raise _error_of(answer.status, await answer.read(), retry_after, f"{method} {path}")
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Object:
        async with _translated(f"{method} {path}"):
            answer = await self._open(method, path, query or {}, body, content_type)
            parsed: Object = json.loads(await answer.read())
            return parsed

    async def fetch(self, path: str) -> RawResponse:
        """GET whatever the API server has or reaches for us, such as `/version`."""
        async with _translated(f"GET {path}"):
            answer = await self._open("GET", path, {})
            text = (await answer.read()).decode(errors="replace")
            return RawResponse(text, answer.getheader("Date"))

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None when there is none."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> tuple[list[Object], str]:
        """All objects, and the resource version to watch from.

        Raises:
            Gone: it took so long that the server forgot where we were; list again.
        """
        found: list[Object] = []
        version = ""
        async for page, at in self.pages(kind, namespace, labels):
            found += page
            version = at
        return found, version

    async def pages(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[tuple[Sequence[Object], str]]:
        """The same bit by bit: parsing ten thousand at once would stop everything else."""
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        while True:
            answer = await self._call("GET", kind.path(namespace), query)
            metadata = answer["metadata"]
            yield answer.get("items") or [], metadata["resourceVersion"]
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def create(self, kind: Kind, manifest: Object, namespace: str | None = None) -> Object:
        """Create an object.

        Raises:
            Conflict: one of this name exists.
            InvalidInput: the API server refuses it; the message is the server's.
        """
        return await self._call("POST", kind.path(namespace), body=manifest)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: object,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Object:
        """Change an object. With a `metadata.resourceVersion` in it, only if unchanged since.

        Raises:
            NotFound, Conflict, InvalidInput: as the server answers.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": "true"} if patch_type == "apply" else {}
        return await self._call(
            "PATCH",
            kind.path(namespace, name, subresource),
            query,
            patch,
            _CONTENT_TYPES[patch_type],
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: str | None = None,
        grace_s: int | None = None,
    ) -> bool:
        """Delete an object, with `uid` only that very one; False if it was gone already.

        `grace_s` is what a pod gets to end; 0 does not even wait for its node to know.

        Raises:
            Conflict: it is another one, or has changed since the resource version `version`.
        """
        body: Object = {"propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        only = {"uid": uid, "resourceVersion": version}
        if any(only.values()):
            body["preconditions"] = {name: value for name, value in only.items() if value}
        try:
            await self._call("DELETE", kind.path(namespace, name), body=body)
        except NotFound:
            return False
        return True

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events from `resource_version` on, until the server ends the watch or falls silent.

        Raises:
            Gone: the version is too old; list again.
            Unavailable: the connection broke.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_TIMEOUT_S),
        }
        if labels:
            query["labelSelector"] = labels
        limits = aiohttp.ClientTimeout(sock_read=self._watch_silence_s, sock_connect=10)
        async with _translated(f"watch {kind.plural}"):
            answer = await self._open("GET", kind.path(namespace), query, limits=limits)
            try:
                async for line in _lines(answer.response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        body = json.dumps(status).encode()
                        raise _error_of(status.get("code", 500), body, None, f"watch {kind.plural}")
                    yield WatchEvent(event["type"], event["object"])
            except aiohttp.SocketTimeoutError:
                # No failure: where nothing happens, there may be nothing to say. Open it anew.
                log.debug("watch %s: silent for %g s", kind.plural, self._watch_silence_s)
            finally:
                _abort(answer.response)


def _abort(response: aiohttp.ClientResponse) -> None:
    """End an answer that goes on; closing alone would wait for the server's farewell by TLS."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: the reader's own `readline` refuses long ones."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
        await asyncio.sleep(0)


# TODO merge docstring of acesniper.runtime.client:
# A connection through which only who may act changes anything.


class NotLeading(Unavailable):
    """Another replica acts now, or may."""


class GuardedCluster(Cluster):
    """Reads always; writes only while `may_act` says so, asked at every single one."""

    def __init__(self, cluster: Cluster, may_act: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._may_act = may_act

    def _check(self, what: str) -> None:
        if not self._may_act():
            raise NotLeading(f"{what}: another replica holds the lease")

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None when there is none."""
        return await self._cluster.get(kind, name, namespace)

    async def pages(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[tuple[Sequence[Object], str]]:
        """All objects, bit by bit."""
        async for page in self._cluster.pages(kind, namespace, labels):
            yield page

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events from `resource_version` on."""
        async for event in self._cluster.watch(kind, resource_version, namespace, labels):
            yield event

    async def create(self, kind: Kind, manifest: Object, namespace: str | None = None) -> Object:
        """Create an object; NotLeading where we may not."""
        self._check(f"create {kind.plural}")
        return await self._cluster.create(kind, manifest, namespace)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: object,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Object:
        """Change an object; NotLeading where we may not."""
        self._check(f"patch {kind.plural} {name}")
        return await self._cluster.patch(kind, name, namespace, patch, subresource, patch_type)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: str | None = None,
        grace_s: int | None = None,
    ) -> bool:
        """Delete an object; NotLeading where we may not."""
        self._check(f"delete {kind.plural} {name}")
        return await self._cluster.delete(kind, name, namespace, uid, version, grace_s)
