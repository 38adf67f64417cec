"""Objects of a watched kind that cannot be used: skipped one by one, counted and reported.

An object that cannot be read or does not match its schema must not affect the others. Its earlier
version is deleted from the cache, so that the cache is a function of the objects that exist, and a
Warning event on the object says why nothing happens with it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.names import Kind
from acesniper.api.objects import Json, object_key
from acesniper.api.reasons import Notice, Reason
from acesniper.api.untrusted_json import check_readable
from acesniper.domain.errors import InvalidInput

log = logging.getLogger(__name__)

UPSERT = "UPSERT"
DELETE = "DELETE"

Handler = Callable[[str, Json], None]
"""Called with UPSERT or DELETE and the object, for every change. An object that it rejects with
InvalidInput is skipped, and DELETE follows. When an object is missing from a new list, DELETE
passes only its UID, name and namespace."""
RecordEvent = Callable[[str, Mapping[str, Any], Notice, float], Awaitable[None]]
"""Records an event; takes the kind and the metadata of its object, and the time in seconds."""

SINGULAR: Mapping[str, str] = {
    "deviceprofiles": "DeviceProfile",
    "inferencetasks": "InferenceTask",
    "modelprofiles": "ModelProfile",
    "pods": "Pod",
}
"""Kinds that get events about skipped objects, by plural."""


@dataclass(frozen=True, slots=True)
class SkippedObject:
    """An object that is skipped, and why."""

    plural: str
    metadata: Mapping[str, Any]
    reason: str


@dataclass(slots=True)
class SkippedObjects:
    """The objects that are skipped now, by kind and UID; several watches may share it."""

    _counts: Counter[str] = field(default_factory=Counter)
    _objects: dict[tuple[str, str], SkippedObject] = field(default_factory=dict)
    _unreported: dict[tuple[str, str], SkippedObject] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, kind: Kind, apply: Handler, change: str, obj: Json) -> None:
        """Pass a change to a handler; skip the object if it is unreadable or the handler fails."""
        try:
            if change == UPSERT:
                check_readable(obj)
            apply(change, obj)
        except InvalidInput as error:
            if change == UPSERT:
                self.deliver(kind, apply, DELETE, obj)
                self._add(kind.plural, obj, str(error))
        except Exception as error:
            # The outermost loop: one unexpected object must not stop the handling of all others,
            # and a restart would read it again.
            log.exception("%s %s: ignored", kind.plural, object_key(obj))
            if change == UPSERT:
                self._add(kind.plural, obj, f"unexpected {type(error).__name__}")
        else:
            self._discard(kind.plural, obj)

    def count(self, plural: str) -> float:
        """Number of skipped objects of a kind; may be called in any thread."""
        return float(self._counts[plural])

    def report_again(self) -> None:
        """Report all skipped objects: this replica became the leader."""
        self._unreported = dict(self._objects)
        self._changed.set()

    async def report(
        self, record: RecordEvent, clock: Callable[[], float], may_act: Callable[[], bool]
    ) -> None:
        """Record a Warning event on each skipped object, while `may_act`, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._unreported and may_act():
                _, skipped = self._unreported.popitem()
                if (singular := SINGULAR.get(skipped.plural)) is not None:
                    notice = Notice(Reason.UNREADABLE, skipped.reason, warning=True)
                    await record(singular, skipped.metadata, notice, clock())

    def _add(self, plural: str, obj: Json, reason: str) -> None:
        key = _key(plural, obj)
        skipped = SkippedObject(plural, obj["metadata"], reason)
        before = self._objects.get(key)
        self._objects[key] = skipped
        self._counts[plural] += before is None
        if before is None or before.reason != reason:
            log.warning("%s skipped: %s", plural, reason)
            self._unreported[key] = skipped
            self._changed.set()

    def _discard(self, plural: str, obj: Json) -> None:
        key = _key(plural, obj)
        self._counts[plural] -= self._objects.pop(key, None) is not None
        self._unreported.pop(key, None)


def _key(plural: str, obj: Json) -> tuple[str, str]:
    return plural, str(obj["metadata"].get("uid"))
