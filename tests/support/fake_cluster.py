"""An in-memory fake of `acesniper.runtime.client.Cluster`; the same contract tests run on both.

Not implemented: authentication, schema validation, garbage collection of owned objects, and all
patch types except merge. A deleted running pod stays until a test calls `remove`, as a kubelet
would.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from acesniper.api.names import (
    DEVICE_PROFILES,
    EVENTS,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    NODES,
    PODS,
    Kind,
)
from acesniper.api.objects import Json
from acesniper.api.reasons import undocumented
from acesniper.domain.errors import Conflict, InvalidInput, NotFound, ResourceVersionExpired
from acesniper.runtime.client import Cluster, PatchType, WatchEvent

OWN_KINDS = (INFERENCE_TASKS, MODEL_PROFILES, DEVICE_PROFILES)
WITH_STATUS = (PODS, NODES, *OWN_KINDS)
OWN_FIELDS = ("apiVersion", "kind", "metadata", "status")

Place = tuple[Kind, str | None, str]
Objects = list[Json]


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the history; `before` is None for a new object, `after` for a deleted one."""

    version: int
    kind: Kind
    before: Json | None
    after: Json | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the cluster."""

    verb: str
    kind: Kind
    name: str


def _check_reasons(resource: str, written: Iterable[tuple[str | None, str, str]]) -> None:
    """Check that every written condition and event is in the table of reasons."""
    if unknown := undocumented(resource, written):
        raise AssertionError(f"not in acesniper.api.reasons: {', '.join(unknown)}")


def _new_conditions(before: Json, after: Json) -> list[tuple[str | None, str, str]]:
    """(type, status, reason) of the conditions that a patch changed."""
    previous = before.get("status", {}).get("conditions") or []
    return [
        (condition["type"], condition["status"], condition["reason"])
        for condition in after["status"].get("conditions") or []
        if condition not in previous
    ]


def _now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True, eq=False)
class ServerState:
    """State that all guarded views of one fake cluster share."""

    before: Callable[[Call], None] = lambda call: None
    after: Callable[[Call], None] = lambda call: None
    version: int = 0
    compacted: int = 0
    uids: int = 0
    breaks: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class FakeCluster(Cluster):
    """Objects, resource versions, watches; the hooks `before` and `after` of a call may raise."""

    def __init__(self, created: Callable[[], str] = _now_text) -> None:
        self._guards = ()
        self.namespace = "default"
        self.calls: list[Call] = []
        self._created = created
        self._objects: dict[Place, Json] = {}
        self._history: list[Change] = []
        self._state = ServerState()

    @property
    def before(self) -> Callable[[Call], None]:
        return self._state.before

    @before.setter
    def before(self, hook: Callable[[Call], None]) -> None:
        self._state.before = hook

    @property
    def after(self) -> Callable[[Call], None]:
        return self._state.after

    @after.setter
    def after(self, hook: Callable[[Call], None]) -> None:
        self._state.after = hook

    # --- interface of Cluster --------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Json | None:
        self._record_call("get", kind, name)
        return copy.deepcopy(self._objects.get(_place(kind, namespace, name)))

    async def pages(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[tuple[Objects, str]]:
        self._record_call("list", kind, "")
        objects = [copy.deepcopy(obj) for obj in self.all(kind, namespace) if _matches(obj, labels)]
        yield objects, str(self._state.version)

    async def create(self, kind: Kind, manifest: Json, namespace: str | None = None) -> Json:
        name = str(manifest["metadata"].get("name", ""))
        call = self._record_call("create", kind, name)
        if not name:
            raise InvalidInput("metadata.name: Required value")
        place = _place(kind, namespace, name)
        if place in self._objects:
            raise Conflict(f"{kind.plural} {name!r} already exists")
        obj = copy.deepcopy(manifest)
        self._state.uids += 1
        obj["metadata"] |= {"uid": f"uid-{self._state.uids}", "creationTimestamp": self._created()}
        if kind.namespaced:
            obj["metadata"]["namespace"] = namespace
        if kind in OWN_KINDS:
            obj["metadata"]["generation"] = 1
            obj.pop("status", None)
        if kind == PODS:
            obj["status"] = {"phase": "Pending"}
        if kind == EVENTS and "involvedObject" in obj:
            _check_reasons(obj["involvedObject"]["kind"], [(None, obj["type"], obj["reason"])])
        stored = self._put(place, obj)
        self.after(call)
        return stored

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: object,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Json:
        call = self._record_call("patch", kind, name)
        if patch_type != "merge" or not isinstance(patch, dict):
            raise NotImplementedError(patch_type)
        place = _place(kind, namespace, name)
        before = self._objects.get(place)
        if before is None:
            raise NotFound(f"{kind.plural} {name!r} not found")
        expected_version = patch.get("metadata", {}).get("resourceVersion")
        if expected_version not in (None, before["metadata"]["resourceVersion"]):
            raise Conflict(f"{kind.plural} {name!r}: the object has been modified")
        after = merged(before, patch)
        if subresource == "status":
            after = {**before, "status": after.get("status", {})}
            if kind in OWN_KINDS:
                _check_reasons(before["kind"], _new_conditions(before, after))
        elif kind in WITH_STATUS and "status" in before:
            after["status"] = before["status"]
        elif kind in WITH_STATUS:
            after.pop("status", None)
        changed = self._put(place, after)
        self.after(call)
        return changed

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: str | None = None,
        grace_s: int | None = None,
    ) -> bool:
        call = self._record_call("delete", kind, name)
        place = _place(kind, namespace, name)
        obj = self._objects.get(place)
        if obj is None:
            return False
        if uid is not None and uid != obj["metadata"]["uid"]:
            raise Conflict(f"{kind.plural} {name!r}: the UID in the precondition does not match")
        if version is not None and version != obj["metadata"]["resourceVersion"]:
            raise Conflict(f"{kind.plural} {name!r}: the version in the precondition is old")
        if kind == PODS and obj["spec"].get("nodeName") and not _finished(obj) and grace_s != 0:
            metadata = {**obj["metadata"], "deletionTimestamp": self._created()}
            self._put(place, {**obj, "metadata": metadata})
        else:
            self.remove(kind, name, namespace)
        self.after(call)
        return True

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        self._record_call("watch", kind, "")
        seen, breaks = int(resource_version), self._state.breaks
        while breaks == self._state.breaks:
            if seen < self._state.compacted:
                raise ResourceVersionExpired(
                    f"too old resource version: {seen} ({self._state.compacted})"
                )
            for change in [change for change in self._history if change.version > seen]:
                seen = change.version
                event = _event(change, namespace, labels) if change.kind == kind else None
                if event is not None:
                    yield event
            if seen >= self._state.version and breaks == self._state.breaks:
                self._state.changed.clear()
                await self._state.changed.wait()

    # --- direct access for tests ---------------------------------------------------------------

    def all(self, kind: Kind, namespace: str | None = None) -> Objects:
        """The current objects of a kind."""
        return [
            obj
            for (its_kind, its_namespace, _), obj in sorted(
                self._objects.items(), key=lambda item: (item[0][1] or "", item[0][2])
            )
            if its_kind == kind and namespace in (None, its_namespace)
        ]

    def one(self, kind: Kind, name: str, namespace: str | None = None) -> Json:
        """The current state of an object that must exist."""
        return self._objects[_place(kind, namespace, name)]

    def put(self, kind: Kind, manifest: Json) -> Json:
        """Add an object unchanged, with its status and UID."""
        metadata = manifest["metadata"]
        place = _place(kind, metadata.get("namespace"), metadata["name"])
        return self._put(place, copy.deepcopy(manifest))

    def change(self, kind: Kind, name: str, namespace: str | None, patch: Json) -> Json:
        """Merge a patch into an object and its status, as a kubelet or a scheduler would."""
        place = _place(kind, namespace, name)
        return self._put(place, merged(self._objects[place], patch))

    def remove(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Remove an object immediately."""
        removed = self._objects.pop(_place(kind, namespace, name))
        self._record(kind, removed, None)

    def compact(self) -> None:
        """Discard the history: watches from earlier versions must list again."""
        self._state.compacted = self._state.version
        self._history.clear()

    def break_watches(self) -> None:
        """Close every watch, as the server does from time to time."""
        self._state.breaks += 1
        self._state.changed.set()

    def created(self, kind: Kind) -> Objects:
        """Every object of a kind ever created, in its initial state."""
        return [
            change.after
            for change in self._history
            if change.kind == kind and change.before is None and change.after is not None
        ]

    # --- internals -----------------------------------------------------------------------------

    def _record_call(self, verb: str, kind: Kind, name: str) -> Call:
        self.check_guards(verb, f"{kind.plural} {name}".rstrip())
        call = Call(verb, kind, name)
        self.calls.append(call)
        self.before(call)
        return call

    def _put(self, place: Place, obj: Json) -> Json:
        before = self._objects.get(place)
        if before is not None:
            metadata = {**obj["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}
            obj = {**obj, "metadata": metadata}
            if obj == before:
                return copy.deepcopy(before)
            if place[0] in OWN_KINDS and _spec(obj) != _spec(before):
                metadata["generation"] = int(metadata.get("generation", 0)) + 1
        self._objects[place] = obj
        self._record(place[0], before, obj)
        return copy.deepcopy(obj)

    def _record(self, kind: Kind, before: Json | None, after: Json | None) -> None:
        self._state.version += 1
        version = str(self._state.version)
        if after is not None:
            after["metadata"]["resourceVersion"] = version
        elif before is not None:
            before = {**before, "metadata": {**before["metadata"], "resourceVersion": version}}
        change = Change(self._state.version, kind, before, after)
        self._history.append(copy.deepcopy(change))
        self._state.changed.set()


def merged(target: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """The result of applying a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _place(kind: Kind, namespace: str | None, name: str) -> Place:
    return kind, namespace if kind.namespaced else None, name


def _spec(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in OWN_FIELDS}


def _finished(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _matches(obj: Json | None, labels: str) -> bool:
    """Whether an object meets a selector of `name` and `name=value` terms."""
    if obj is None:
        return False
    has = obj["metadata"].get("labels") or {}
    for term in filter(None, labels.split(",")):
        name, equals, value = term.partition("=")
        if name not in has or (equals and has[name] != value):
            return False
    return True


def _event(change: Change, namespace: str | None, labels: str) -> WatchEvent | None:
    """The watch event of a change; an object that stops matching the selector is deleted."""
    obj = change.after or change.before
    if obj is None or namespace not in (None, obj["metadata"].get("namespace")):
        return None
    was, is_now = _matches(change.before, labels), _matches(change.after, labels)
    if not was and not is_now:
        return None
    kind = "DELETED" if not is_now else "MODIFIED" if was else "ADDED"
    return WatchEvent(kind, copy.deepcopy(obj))
