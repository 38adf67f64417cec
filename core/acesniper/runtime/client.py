"""Asynchronous access to a Kubernetes API server.

Objects are plain JSON mappings: building the generated classes of the client library takes longer
than all scheduling decisions together.
"""

import copy
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal, Self

import aiohttp
import yaml

from acesniper.api.names import Kind
from acesniper.api.objects import Json
from acesniper.api.untrusted_json import (
    UNREADABLE,
    MalformedJson,
    check_readable,
    parse_event,
    parse_list,
    parse_object,
)
from acesniper.domain.errors import (
    InvalidInput,
    NotFound,
    NotLeading,
)
from acesniper.runtime.api_connection import (
    ApiConnection,
    ConfigException,
    Response,
    lines_of,
    load_configuration,
)
from acesniper.runtime.api_errors import error_of_response, translated_errors

log = logging.getLogger(__name__)

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
"""Errors of the client library about a file that is not a kubeconfig."""
PAGE_SIZE = 500
"""Objects per page of a list."""
WATCH_TIMEOUT_S = 240
"""Duration of a watch that is requested from the server."""
WATCH_IDLE_TIMEOUT_S = 90.0
"""An idle watch is reopened after this time, as its connection may be lost: the server sends a
bookmark about once a minute, at the latest after 75 s."""
_VERBS: Mapping[str, str] = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}

RequestGuard = Callable[[str, str], None]
"""Called before each request with its verb (create, patch or delete; others read) and its target;
raises an error to refuse the request."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Json


@dataclass(frozen=True, slots=True)
class RawResponse:
    """Body of the response to a GET, and the server's clock as an HTTP date."""

    text: str
    date: str | None


@dataclass(frozen=True, slots=True)
class WriteGuard:
    """A request guard that refuses writes while `may_write()` is False."""

    may_write: Callable[[], bool]

    def __call__(self, verb: str, target: str) -> None:
        """Raise NotLeading for a write that is not allowed."""
        if verb in ("create", "patch", "delete") and not self.may_write():
            raise NotLeading(f"{verb} {target}: another replica holds the lease")


class Cluster:
    """A connection to one API server."""

    def __init__(
        self,
        api: ApiConnection,
        watch_idle_timeout_s: float = WATCH_IDLE_TIMEOUT_S,
        namespace: str = "default",
    ) -> None:
        """Use a connection; a watch ends when it is idle for `watch_idle_timeout_s`."""
        self._api = api
        self._watch_idle_timeout_s = watch_idle_timeout_s
        self._guards: tuple[RequestGuard, ...] = ()
        self.namespace = namespace
        """Namespace of the kubeconfig's context."""

    def guarded(self, guard: RequestGuard) -> Self:
        """The same connection with one more check before every request."""
        view = copy.copy(self)
        view._guards = (*self._guards, guard)
        return view

    def check_guards(self, verb: str, target: str) -> None:
        """Call the guards of this connection, which may refuse the request."""
        for guard in self._guards:
            guard(verb, target)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        watch_idle_timeout_s: float = WATCH_IDLE_TIMEOUT_S,
        context: str | None = None,
    ) -> AsyncIterator[Self]:
        """Connect with a kubeconfig file, or with the service account of this pod if it is None.

        Raises:
            InvalidInput: there is no usable configuration.
        """
        try:
            configuration, namespace = await load_configuration(kubeconfig, context)
            api = ApiConnection(configuration)
        except (ConfigException, OSError) as error:
            raise InvalidInput(
                f"cannot connect to a cluster: {error}; pass --kubeconfig FILE"
            ) from error
        except KUBECONFIG_ERRORS as error:
            raise InvalidInput(f"{kubeconfig} is not a kubeconfig: {error}") from error
        async with api:
            yield cls(api, watch_idle_timeout_s, namespace)

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        content_type: str = "application/json",
        limits: aiohttp.ClientTimeout = REQUEST_LIMITS,
    ) -> Response:
        self.check_guards("watch" if "watch" in query else _VERBS[method], path)
        response = await self._api.request(method, path, query, body, content_type, limits)
        if response.status >= HTTPStatus.BAD_REQUEST:
            retry_after = response.getheader("Retry-After")
            body_bytes = await response.read()
            raise error_of_response(response.status, body_bytes, retry_after, f"{method} {path}")
        return response

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        parse: Callable[[bytes], Json] = parse_object,
    ) -> Json:
        async with translated_errors(f"{method} {path}"):
            response = await self._open(method, path, query or {}, body, content_type)
            parsed = parse(await response.read())
        check_readable(parsed)
        return parsed

    async def fetch(self, path: str) -> RawResponse:
        """GET any path of the API server, such as `/version` or a proxied service."""
        async with translated_errors(f"GET {path}"):
            response = await self._open("GET", path, {})
            text = (await response.read()).decode(errors="replace")
            return RawResponse(text, response.getheader("Date"))

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Json | None:
        """The object, or None if it does not exist.

        Raises:
            InvalidInput: the object exists, but cannot be read.
        """
        try:
            return await self._call("GET", kind.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> tuple[list[Json], str]:
        """All objects that can be read, and the resource version to watch from.

        Raises:
            ResourceVersionExpired: the list took longer than the server keeps it; list again.
        """
        objects: list[Json] = []
        version = ""
        async for page, page_version in self.pages(kind, namespace, labels):
            objects += [obj for obj in page if UNREADABLE not in obj]
            version = page_version
        return objects, version

    async def pages(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[tuple[Sequence[Json], str]]:
        """All objects page by page, as parsing ten thousand in one go would block the loop.

        An object that cannot be read is a stub (`acesniper.api.untrusted_json`).
        """
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._call("GET", kind.path(namespace), query, parse=parse_list)
            metadata = page["metadata"]
            yield page.get("items") or [], metadata["resourceVersion"]
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def create(self, kind: Kind, manifest: Json, namespace: str | None = None) -> Json:
        """Create an object.

        Raises:
            Conflict: an object of this name exists.
            InvalidInput: the API server rejects it; the message is the server's.
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
    ) -> Json:
        """Patch an object; a `metadata.resourceVersion` in the patch is a precondition.

        Raises:
            NotFound, Conflict, InvalidInput: as the server responds.
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
        """Delete an object; False if it does not exist.

        `uid` and `version` (a resource version) are preconditions. `grace_s` is a pod's termination
        grace period; 0 deletes it without confirmation from its node.

        Raises:
            Conflict: a precondition does not hold.
        """
        body: Json = {"propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        preconditions = {"uid": uid, "resourceVersion": version}
        if any(preconditions.values()):
            body["preconditions"] = {key: value for key, value in preconditions.items() if value}
        try:
            await self._call("DELETE", kind.path(namespace, name), body=body)
        except NotFound:
            return False
        return True

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after `resource_version`, until the server ends the watch or it is idle too long.

        The object of an event that cannot be read is a stub (`acesniper.api.untrusted_json`).

        Raises:
            ResourceVersionExpired: the version is too old; list again.
            Unavailable: the connection failed.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_TIMEOUT_S),
        }
        if labels:
            query["labelSelector"] = labels
        limits = aiohttp.ClientTimeout(sock_read=self._watch_idle_timeout_s, sock_connect=10)
        async with translated_errors(f"watch {kind.plural}"):
            response = await self._open("GET", kind.path(namespace), query, limits=limits)
            try:
                async for line in lines_of(response.response.content):
                    try:
                        event = parse_event(line)
                    except MalformedJson as error:
                        log.warning("watch %s: event skipped: %s", kind.plural, error)
                        continue
                    if event["type"] == "ERROR":
                        status = event["object"]
                        code, body = status.get("code", 500), json.dumps(status).encode()
                        raise error_of_response(code, body, None, f"watch {kind.plural}")
                    yield WatchEvent(event["type"], event["object"])
            except aiohttp.SocketTimeoutError:
                # Not a failure: a quiet cluster may have no events. The caller opens a new watch.
                log.debug("watch %s: idle for %g s", kind.plural, self._watch_idle_timeout_s)
            finally:
                _abort(response.response)


def _abort(response: aiohttp.ClientResponse) -> None:
    """Close a streaming response without waiting for the TLS shutdown, as `close` would."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()
