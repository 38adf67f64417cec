"""A node, as planner, operator and commands see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeView:
    """The few facts of a node that decisions need."""

    schedulable: bool
    labels: Mapping[str, str]

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "NodeView":
        """Read a node object."""
        conditions = node.get("status", {}).get("conditions") or ()
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        cordoned = bool(node.get("spec", {}).get("unschedulable"))
        return cls(ready and not cordoned, node["metadata"].get("labels") or {})
