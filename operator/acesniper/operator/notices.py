"""Events under `kubectl describe`."""

import hashlib
import logging
from typing import Any

from acesniper.api.names import API_VERSION
from acesniper.api.times import rfc3339
from acesniper.domain.errors import AcesniperError, Conflict
from acesniper.operator.step import Notice
from acesniper.runtime.kube import EVENTS, Cluster

log = logging.getLogger(__name__)

LONGEST_NOTE = 1000
"""The API server refuses longer messages (1,024)."""


def event(kind: str, metadata: dict[str, Any], notice: Notice, now_s: float) -> dict[str, Any]:
    """The Event object of a notice; the same notice has the same name, so that it is told once."""
    said = f"{metadata['uid']} {notice.reason} {notice.message}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:12]
    when = rfc3339(now_s)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": notice.reason,
        "message": notice.message[:LONGEST_NOTE],
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": "acesniper-operator"},
        "firstTimestamp": when[:19] + "Z",
        "lastTimestamp": when[:19] + "Z",
        "count": 1,
    }


async def tell(
    cluster: Cluster, kind: str, metadata: dict[str, Any], notice: Notice, now_s: float
) -> None:
    """Post a notice. What cannot be told is logged: an event is never worth a failure."""
    try:
        manifest = event(kind, metadata, notice, now_s)
        await cluster.create(EVENTS, manifest, metadata["namespace"])
    except Conflict:
        return
    except AcesniperError as error:
        log.warning("event %s not told: %s", notice.reason, error)
