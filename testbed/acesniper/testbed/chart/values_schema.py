"""The chart's values and values.schema.json.

Types follow from the defaults, limits from the settings of the components.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from acesniper.api.objects import Json
from acesniper.runtime.settings import (
    EnvironmentSettings,
    ExtenderSettings,
    OperatorSettings,
    PolicySettings,
    ProbeSettings,
)

# --- reading values.yaml --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """A chart value: its path such as `image.tag`, its default and its description."""

    path: tuple[str, ...]
    default: Any
    text: str

    @property
    def name(self) -> str:
        """The path in the notation of Helm's `--set`."""
        return ".".join(self.path)


def read_values(source: str) -> Sequence[Value]:
    """Return all values of values.yaml, in the order of the file.

    Raises:
        ValueError: A value has no comment; only groups may have none.
    """
    lines = source.splitlines()
    return list(_walk(yaml.compose(source), lines, ()))


def _walk(node: Any, lines: Sequence[str], path: tuple[str, ...]) -> Iterator[Value]:  # noqa: ANN401
    for key, value in node.value:
        here = (*path, key.value)
        text = _comment(lines, key.start_mark.line)
        if text:
            yield Value(here, yaml.SafeLoader("").construct_document(value), text)
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _walk(value, lines, here)
        else:
            raise ValueError(f"{'.'.join(here)} has no comment above it")


def _comment(lines: Sequence[str], line: int) -> str:
    """Return the comment directly above a line, joined to one line."""
    comment: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip().lstrip("#").strip())
    return " ".join(comment)


def nested(values: Sequence[Value]) -> Mapping[str, Any]:
    """Return the values as a tree with `Value` objects as leaves."""
    tree: dict[str, Any] = {}
    for value in values:
        branch = tree
        for key in value.path[:-1]:
            branch = branch.setdefault(key, {})
        branch[value.path[-1]] = value
    return tree


# --- values.schema.json ---------------------------------------------------------------------------

SETTINGS: Mapping[str, type[EnvironmentSettings]] = {
    "operator": OperatorSettings,
    "extender": ExtenderSettings,
    "probe": ProbeSettings,
    "scheduling": PolicySettings,
}
"""The group of a component in values.yaml, and the class of its settings."""

_REGISTRY = "[a-z0-9]([a-z0-9._-]|:[0-9]|/[a-z0-9])*"
"""A registry without scheme and without trailing slash, as image names require."""

_NETWORK = "[0-9a-fA-F.:]+/[0-9]+"

LIMITS: Mapping[str, Json] = {
    "mirror": {"pattern": f"^({_REGISTRY})?$"},
    "image.registry": {"pattern": f"^{_REGISTRY}$"},
    "scheduler.image.registry": {"pattern": f"^{_REGISTRY}$"},
    "imagePullSecrets": {"items": {"type": "string"}},
    "networkPolicy.apiServerPorts": {
        # An empty list of ports in a NetworkPolicy allows all ports.
        "minItems": 1,
        "items": {"type": "integer", "minimum": 1, "maximum": 65535},
    },
    "networkPolicy.metricsFrom": {"items": {"type": "object"}},
    "modelCache.folder": {"pattern": "^/"},
    "modelCache.bytes": {"minimum": 0},
    "operator.replicas": {"minimum": 0},
    "scheduler.replicas": {"minimum": 0},
    "mode": {"enum": ["own", "external"]},
    "external.serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "image.pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
    "logs.format": {"enum": ["json", "text"]},
    "logs.level": {"enum": ["debug", "info", "warning", "error"]},
    "apiServer.port": {"minimum": 1, "maximum": 65535},
    "scheduler.timeoutS": {"type": "number", "exclusiveMinimum": 0},
    "scheduler.qps": {"minimum": 1},
    "scheduling.settings.policyClasses": {"type": "string"},
    "operator.settings.fetchNetworks": {
        "type": "string",
        "pattern": f"^({_NETWORK}( *, *{_NETWORK})*)?$",
    },
    "scheduling.settings.namespaceWeights": {"type": "string"},
    "scheduling.settings.namespaceLimits": {"type": "string"},
}
"""Constraints that follow neither from a default nor from a setting's type."""

_KEPT = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def values_schema(values: Sequence[Value]) -> Json:
    """Return the JSON schema of all values, which rejects unknown names."""
    root = _group(nested(values))
    # Helm passes `global` to every subchart.
    root["properties"]["global"] = {"type": "object"}
    # An umbrella chart's condition for this dependency, such as `acesniper.enabled`.
    root["properties"]["enabled"] = {"type": "boolean"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}


def _group(tree: Mapping[str, Any]) -> Json:
    properties = {
        key: _leaf(node) if isinstance(node, Value) else _group(node) for key, node in tree.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


_NAMED: Mapping[str, Json] = {
    # `--set` converts values to numbers and booleans; labels must be strings.
    "nodeSelector": {"additionalProperties": {"type": "string"}},
    "labels": {"additionalProperties": {"type": "string"}},
    "tolerations": {"items": {"type": "object"}},
}
"""Constraints by name, independent of the path."""


def _leaf(value: Value) -> Json:
    schema: Json = {"description": value.text, "type": TYPES[type(value.default)]}
    schema |= _NAMED.get(value.path[-1], {})
    if "settings" in value.path:
        schema |= _of_setting(SETTINGS[value.path[0]], setting(value.path[-1]))
    return schema | LIMITS.get(value.name, {})


def _of_setting(part: type[EnvironmentSettings], name: str) -> Json:
    """Return type and limits of a setting from its class."""
    schema = part.model_json_schema()["properties"].get(name)
    if schema is None:
        raise ValueError(f"values.yaml: {part.__name__} has no field {name}")
    return {key: schema[key] for key in _KEPT if key in schema}


def setting(name: str) -> str:
    """Return the name of a value's field: maxGatedPods sets max_gated_pods."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
