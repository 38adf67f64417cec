"""values.schema.json: types from the defaults, limits from the settings of the parts."""

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
    """One value: its path such as `image.tag`, its default, and what its comment says."""

    path: tuple[str, ...]
    default: Any
    text: str

    @property
    def name(self) -> str:
        """The path as Helm's `--set` takes it."""
        return ".".join(self.path)


def read_values(source: str) -> Sequence[Value]:
    """All values in the order of the file.

    Raises:
        ValueError: a value that is no group has no comment.
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
    """The comment right above a line, as one sentence after the other."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().lstrip("#").strip())
    return " ".join(found)


def nested(values: Sequence[Value]) -> Mapping[str, Any]:
    """The values as a tree whose leaves are the `Value`s."""
    tree: dict[str, Any] = {}
    for value in values:
        branch = tree
        for key in value.path[:-1]:
            branch = branch.setdefault(key, {})
        branch[value.path[-1]] = value
    return tree


# --- its schema -----------------------------------------------------------------------------------

SETTINGS: Mapping[str, type[EnvironmentSettings]] = {
    "operator": OperatorSettings,
    "extender": ExtenderSettings,
    "probe": ProbeSettings,
    "scheduling": PolicySettings,
}
"""The group of a part in values.yaml, and what reads its environment."""

_REGISTRY = "[a-z0-9]([a-z0-9._-]|:[0-9]|/[a-z0-9])*"
"""Without `https://` before it and `/` behind, or no image has a valid name."""

LIMITS: Mapping[str, Json] = {
    "mirror": {"pattern": f"^({_REGISTRY})?$"},
    "image.registry": {"pattern": f"^{_REGISTRY}$"},
    "scheduler.image.registry": {"pattern": f"^{_REGISTRY}$"},
    "imagePullSecrets": {"items": {"type": "string"}},
    "networkPolicy.apiServerPorts": {
        # Without one, all ports were open.
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
}
"""What neither a default nor a setting's type says."""

_KEPT = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def values_schema(values: Sequence[Value]) -> Json:
    """The JSON schema of all values; names it does not know are refused."""
    root = _group(nested(values))
    # Helm hands this to every chart that is part of another.
    root["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}


def _group(tree: Mapping[str, Any]) -> Json:
    properties = {
        key: _leaf(branch) if isinstance(branch, Value) else _group(branch)
        for key, branch in tree.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


_NAMED: Mapping[str, Json] = {
    # `--set` makes numbers and booleans of what looks like them; a label is neither.
    "nodeSelector": {"additionalProperties": {"type": "string"}},
    "labels": {"additionalProperties": {"type": "string"}},
    "tolerations": {"items": {"type": "object"}},
}
"""What a value of that name is, wherever it stands."""


def _leaf(value: Value) -> Json:
    schema: Json = {"description": value.text, "type": _TYPES[type(value.default)]}
    schema |= _NAMED.get(value.path[-1], {})
    if "settings" in value.path:
        schema |= _of_setting(SETTINGS[value.path[0]], setting(value.path[-1]))
    return schema | LIMITS.get(value.name, {})


def _of_setting(part: type[EnvironmentSettings], name: str) -> Json:
    """Type and limits of a setting, as its class has them."""
    found = part.model_json_schema()["properties"].get(name)
    if found is None:
        raise ValueError(f"values.yaml: {part.__name__} has no field {name}")
    return {key: found[key] for key in _KEPT if key in found}


def setting(name: str) -> str:
    """The field that a value sets: maxGatedPods sets max_gated_pods."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
