"""Schemas of Kubernetes' own types for fields of our resources, such as a pod template.

A field typed as in Kubernetes cannot hold JSON of any depth or kind. The definitions are taken from
Kubernetes' official OpenAPI, without descriptions and with limits on lengths:

    python -m acesniper.api.kubernetes_schema api__v1_openapi.json

with the file `api/openapi-spec/v3/api__v1_openapi.json` of Kubernetes, which an API server serves
at `/openapi/v3/api/v1`. Only the generator of the CustomResourceDefinitions reads them.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

FILE = Path(__file__).with_name("kubernetes_schemas.json")
REFERENCE: Final = "x-acesniper-kubernetes-type"
"""Keyword of a schema that stands for a type in this file."""
ROOTS = ("PodTemplateSpec", "ResourceRequirements", "Toleration")
OMITTED: Mapping[str, tuple[str, ...]] = {
    # Not allowed in a pod that is created.
    "PodSpec": ("ephemeralContainers",),
    # Written by the API server only.
    "ObjectMeta": ("managedFields", "ownerReferences"),
}
MAX_ITEMS = 1024
MAX_PROPERTIES = 256
MAX_LENGTH = 65536
"""Longer values, such as scripts, belong into a ConfigMap."""
INT_OR_STRING: Mapping[str, Any] = {"x-kubernetes-int-or-string": True}
QUANTITY: Mapping[str, Any] = {
    **INT_OR_STRING,
    "pattern": r"^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$",
    "maxLength": 64,
}
TIME: Mapping[str, Any] = {"type": "string", "format": "date-time", "nullable": True}
"""`kubectl create --dry-run` prints `creationTimestamp: null`."""
SCALARS: Mapping[str, Mapping[str, Any]] = {
    "Quantity": QUANTITY,
    "IntOrString": INT_OR_STRING,
    "Time": TIME,
}


@cache
def definitions() -> Mapping[str, Any]:
    """The schemas by name of the type, such as `Toleration`."""
    parsed: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return parsed


def trimmed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The types in `ROOTS`, and all that they use, from an OpenAPI document of Kubernetes."""
    named = {name.rpartition(".")[2]: name for name in document["components"]["schemas"]}
    result: dict[str, Any] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in result:
            continue
        source = document["components"]["schemas"][named[name]]
        result[name] = dict(SCALARS[name]) if name in SCALARS else _trim(name, source)
        waiting += _references(result[name])
    return dict(sorted(result.items()))


def _trim(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with the keywords that restrict values, and with limits on lengths."""
    if reference := _reference(schema):
        return {"$ref": f"#/$defs/{reference}"}
    result = {key: schema[key] for key in ("type", "format", "enum", "required") if key in schema}
    if properties := schema.get("properties"):
        result["properties"] = {
            field: _trim("", value)
            for field, value in sorted(properties.items())
            if field not in OMITTED.get(name, ())
        }
    elif isinstance(values := schema.get("additionalProperties"), Mapping):
        result |= {"additionalProperties": _trim("", values), "maxProperties": MAX_PROPERTIES}
    if items := schema.get("items"):
        result |= {"items": _trim("", items), "maxItems": MAX_ITEMS}
    if result.get("type") == "string":
        result["maxLength"] = MAX_LENGTH
    return result


def _reference(schema: Mapping[str, Any]) -> str:
    """The type to which a schema refers, also with a default next to it; empty if it is none."""
    (first, *_) = schema.get("allOf") or [schema]
    return str(first.get("$ref", "")).rpartition(".")[2]


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if reference := schema.get("$ref"):
            yield str(reference).rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)


def main(arguments: list[str]) -> int:
    """Write the file from the OpenAPI document of which the path is given."""
    (source,) = arguments
    document = json.loads(Path(source).read_text(encoding="utf-8"))
    FILE.write_text(json.dumps(trimmed(document), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
