"""Kubernetes Events about our objects, as shown by `kubectl describe`.

A task causes about five events, and each is a request to the API server. Normal events are limited
by a token bucket; warnings are always sent. The status of an object is complete in any case.
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
from acesniper.domain.foreign_text import bounded_text
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

MAX_NAME_CHARS = 240
"""Characters of an object's name in the name of an event, which has at most 253."""
CLUSTER_SCOPED_NAMESPACE = "default"
"""Namespace of events about cluster-scoped objects, by convention."""


def to_event(
    kind: str, metadata: Mapping[str, Any], notice: Notice, now_s: float, component: str
) -> Json:
    """The Event of a notice; equal notices have equal names, so that each is sent once."""
    identity = f"{metadata['uid']} {notice.reason} {notice.message}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    when = rfc3339(now_s)[:19] + "Z"
    namespace = metadata.get("namespace")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:MAX_NAME_CHARS].rstrip('.-')}.{digest}",
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
        "message": bounded_text(notice.message),
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": component},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }


@dataclass(frozen=True, slots=True)
class EventRecorder:
    """Sends events as `component`: all warnings, and normal events within the limit."""

    cluster: Cluster
    component: str
    bucket: TokenBucket = field(default_factory=TokenBucket)

    async def record(
        self, kind: str, metadata: Mapping[str, Any], notice: Notice, now_s: float
    ) -> None:
        """Send an event. Failures are logged and not raised."""
        if not notice.warning and not self.bucket.take(now_s):
            log.debug("event %s of %s not sent: rate limit", notice.reason, metadata["name"])
            return
        manifest = to_event(kind, metadata, notice, now_s, self.component)
        try:
            await self.cluster.create(EVENTS, manifest, manifest["metadata"]["namespace"])
        except Conflict:
            return  # sent before
        except NamespaceTerminating:
            return  # the event would be deleted with its namespace
        except AcesniperError as error:
            log.warning("event %s not sent: %s", notice.reason, error)
