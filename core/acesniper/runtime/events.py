"""Events under `kubectl describe`."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acesniper.api.names import API_VERSION
from acesniper.api.times import rfc3339
from acesniper.domain.errors import AcesniperError, Conflict
from acesniper.runtime.kube import EVENTS, Cluster, Object

log = logging.getLogger(__name__)

LONGEST_NOTE = 1000
"""The API server refuses longer messages (1,024)."""
CLUSTER_WIDE = "default"
"""Where events about cluster-wide objects go, by convention."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should see about an object."""

    reason: str
    message: str
    warning: bool = False


def event(
    kind: str, metadata: Mapping[str, Any], notice: Notice, now_s: float, component: str
) -> Object:
    """The Event object of a notice; the same notice has the same name, so that it is told once."""
    said = f"{metadata['uid']} {notice.reason} {notice.message}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:12]
    when = rfc3339(now_s)[:19] + "Z"
    namespace = metadata.get("namespace")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{digest}",
            "namespace": namespace or CLUSTER_WIDE,
        },
        "involvedObject": {
            "apiVersion": "v1" if kind == "Pod" else API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            **({"namespace": namespace} if namespace else {}),
        },
        "reason": notice.reason,
        "message": notice.message[:LONGEST_NOTE],
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": component},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }


@dataclass(frozen=True, slots=True)
class EventRecorder:
    """Posts notices as `component`."""

    cluster: Cluster
    component: str

    async def tell(
        self, kind: str, metadata: Mapping[str, Any], notice: Notice, now_s: float
    ) -> None:
        """Post a notice. What cannot be told is logged: an event is never worth a failure."""
        manifest = event(kind, metadata, notice, now_s, self.component)
        try:
            await self.cluster.create(EVENTS, manifest, manifest["metadata"]["namespace"])
        except Conflict:
            return  # told before
        except AcesniperError as error:
            log.warning("event %s not told: %s", notice.reason, error)
