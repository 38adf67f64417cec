"""Events under `kubectl describe`.

A task is told of in some five events, each a request as dear as any other. So they are rationed: a
few hundred at once and some a second. Under a burst of thousands of tasks, only warnings and a part
of the rest are told; the status of an object says everything in any case.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.names import API_VERSION, EVENTS
from acesniper.api.objects import Json
from acesniper.api.reasons import Notice
from acesniper.api.units import rfc3339
from acesniper.domain.backoff import TokenBucket
from acesniper.domain.errors import AcesniperError, Conflict, NamespaceTerminating
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 1000
"""The API server refuses longer messages (1,024)."""
CLUSTER_SCOPED_NAMESPACE = "default"
"""Where events about cluster-wide objects go, by convention."""


def to_event(
    kind: str, metadata: Mapping[str, Any], notice: Notice, now_s: float, component: str
) -> Json:
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
            "namespace": namespace or CLUSTER_SCOPED_NAMESPACE,
        },
        "involvedObject": {
            "apiVersion": "v1" if kind == "Pod" else API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            **({"namespace": namespace} if namespace else {}),
        },
        "reason": notice.reason.value,
        "message": notice.message[:MAX_MESSAGE_CHARS],
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": component},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }


@dataclass(frozen=True, slots=True)
class EventRecorder:
    """Posts notices as `component`: all warnings, and of the rest what the ration allows."""

    cluster: Cluster
    component: str
    bucket: TokenBucket = field(default_factory=TokenBucket)

    async def tell(
        self, kind: str, metadata: Mapping[str, Any], notice: Notice, now_s: float
    ) -> None:
        """Post a notice. What cannot be told is logged: an event is never worth a failure."""
        if not notice.warning and not self.bucket.take(now_s):
            log.debug("event %s of %s not told: too many", notice.reason, metadata["name"])
            return
        manifest = to_event(kind, metadata, notice, now_s, self.component)
        try:
            await self.cluster.create(EVENTS, manifest, manifest["metadata"]["namespace"])
        except Conflict:
            return  # told before
        except NamespaceTerminating:
            return  # its namespace goes, and with it whoever would read it
        except AcesniperError as error:
            log.warning("event %s not told: %s", notice.reason, error)
