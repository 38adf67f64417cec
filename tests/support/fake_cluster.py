"""An in-memory twin of `acesniper.runtime.client.Cluster`; the same contract tests run on both.

What it leaves out: authentication, validation by schema, garbage collection of owned objects, and
every patch type but merge. Pods that run are removed when a test says so (`remove`), as a kubelet
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

OURS = (INFERENCE_TASKS, MODEL_PROFILES, DEVICE_PROFILES)
WITH_STATUS = (PODS, NODES, *OURS)
OWN_FIELDS = ("apiVersion", "kind", "metadata", "status")

Place = tuple[Kind, str | None, str]
Objects = list[Json]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history: what an object was and what it became (None: was or is not)."""

    version: int
    kind: Kind
    before: Json | None
    after: Json | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made."""

    verb: str
    kind: Kind
    name: str


def _check_reasons(resource: str, written: Iterable[tuple[str | None, str, str]]) -> None:
    """Every condition and event that is written must be in the table of reasons."""
    if unknown := undocumented(resource, written):
        raise AssertionError(f"not in acesniper.api.reasons: {', '.join(unknown)}")


def _new_conditions(before: Json, after: Json) -> list[tuple[str | None, str, str]]:
    """(type, status, reason) of the conditions that a patch wrote."""
    known = before.get("status", {}).get("conditions") or []
    return [
        (condition["type"], condition["status"], condition["reason"])
        for condition in after["status"].get("conditions") or []
        if condition not in known
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
    """Objects, versions, watches; `before` and `after` are called for each call and may raise."""

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

    # --- the interface -------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Json | None:
        self._note("get", kind, name)
        found = self._objects.get(_place(kind, namespace, name))
        return copy.deepcopy(found)

    async def pages(
        self, kind: Kind, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[tuple[Objects, str]]:
        self._note("list", kind, "")
        found = [copy.deepcopy(obj) for obj in self.all(kind, namespace) if _has(obj, labels)]
        yield found, str(self._state.version)

    async def create(self, kind: Kind, manifest: Json, namespace: str | None = None) -> Json:
        name = str(manifest["metadata"].get("name", ""))
        call = self._note("create", kind, name)
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
        if kind in OURS:
            obj["metadata"]["generation"] = 1
            obj.pop("status", None)
        if kind == PODS:
            obj["status"] = {"phase": "Pending"}
        if kind == EVENTS and "involvedObject" in obj:
            _check_reasons(obj["involvedObject"]["kind"], [(None, obj["type"], obj["reason"])])
        made = self._put(place, obj)
        self.after(call)
        return made

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: object,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Json:
        call = self._note("patch", kind, name)
        if patch_type != "merge" or not isinstance(patch, dict):
            raise NotImplementedError(patch_type)
        place = _place(kind, namespace, name)
        before = self._objects.get(place)
        if before is None:
            raise NotFound(f"{kind.plural} {name!r} not found")
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted not in (None, before["metadata"]["resourceVersion"]):
            raise Conflict(f"{kind.plural} {name!r}: the object has been modified")
        after = merged(before, patch)
        if subresource == "status":
            after = {**before, "status": after.get("status", {})}
            if kind in OURS:
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
        call = self._note("delete", kind, name)
        place = _place(kind, namespace, name)
        found = self._objects.get(place)
        if found is None:
            return False
        if uid is not None and uid != found["metadata"]["uid"]:
            raise Conflict(f"{kind.plural} {name!r}: the UID in the precondition does not match")
        if version is not None and version != found["metadata"]["resourceVersion"]:
            raise Conflict(f"{kind.plural} {name!r}: the version in the precondition is old")
        if kind == PODS and found["spec"].get("nodeName") and not _ended(found) and grace_s != 0:
            metadata = {**found["metadata"], "deletionTimestamp": self._created()}
            self._put(place, {**found, "metadata": metadata})
        else:
            self.remove(kind, name, namespace)
        self.after(call)
        return True

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        self._note("watch", kind, "")
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

    # --- what tests do behind the API server's back --------------------------------------------

    def all(self, kind: Kind, namespace: str | None = None) -> Objects:
        """The objects of a kind, as they are now."""
        return [
            obj
            for (its_kind, its_namespace, _), obj in sorted(
                self._objects.items(), key=lambda item: (item[0][1] or "", item[0][2])
            )
            if its_kind == kind and namespace in (None, its_namespace)
        ]

    def one(self, kind: Kind, name: str, namespace: str | None = None) -> Json:
        """An object that must exist, as it is now."""
        return self._objects[_place(kind, namespace, name)]

    def put(self, kind: Kind, manifest: Json) -> Json:
        """Add an object as it is, status and UID included."""
        metadata = manifest["metadata"]
        place = _place(kind, metadata.get("namespace"), metadata["name"])
        return self._put(place, copy.deepcopy(manifest))

    def change(self, kind: Kind, name: str, namespace: str | None, patch: Json) -> Json:
        """Merge a patch into an object, status and all, as a kubelet or a scheduler would."""
        place = _place(kind, namespace, name)
        return self._put(place, merged(self._objects[place], patch))

    def remove(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Take an object out at once."""
        gone = self._objects.pop(_place(kind, namespace, name))
        self._remember(kind, gone, None)

    def compact(self) -> None:
        """Forget the history: watches from before must list again."""
        self._state.compacted = self._state.version
        self._history.clear()

    def break_watches(self) -> None:
        """End every watch, as the server does now and then."""
        self._state.breaks += 1
        self._state.changed.set()

    def created(self, kind: Kind) -> Objects:
        """Every object of a kind that ever was, as it was when it was new."""
        return [
            change.after
            for change in self._history
            if change.kind == kind and change.before is None and change.after is not None
        ]

    # --- inside --------------------------------------------------------------------------------

    def _note(self, verb: str, kind: Kind, name: str) -> Call:
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
            if place[0] in OURS and _spec(obj) != _spec(before):
                metadata["generation"] = int(metadata.get("generation", 0)) + 1
        self._objects[place] = obj
        self._remember(place[0], before, obj)
        return copy.deepcopy(obj)

    def _remember(self, kind: Kind, before: Json | None, after: Json | None) -> None:
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
    """A JSON merge patch (RFC 7386) applied."""
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


def _ended(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _has(obj: Json | None, labels: str) -> bool:
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
    """What a watch with a selector sees of a change: an object that stops matching goes."""
    obj = change.after or change.before
    if obj is None or namespace not in (None, obj["metadata"].get("namespace")):
        return None
    was, is_now = _has(change.before, labels), _has(change.after, labels)
    if not was and not is_now:
        return None
    kind = "DELETED" if not is_now else "MODIFIED" if was else "ADDED"
    return WatchEvent(kind, copy.deepcopy(obj))
