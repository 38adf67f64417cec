"""Generates the CustomResourceDefinitions from the pydantic models.

`python -m acesniper.api.crd DIR...` writes them; with `--check` it only says what would change, and
exits 1 if anything would. The generator refuses what a structural schema cannot say.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from acesniper.api import kubernetes_schema, v1alpha1
from acesniper.api.names import GROUP, VERSION
from acesniper.api.v1alpha1.schema import CelRule, PrinterColumn


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of ours, and how it appears in the cluster."""

    model: type[BaseModel]
    plural: str
    short: str
    scope: str
    rules: tuple[CelRule, ...]
    columns: tuple[PrinterColumn, ...]

    @property
    def kind(self) -> str:
        """The kind's name."""
        return self.model.__name__


RESOURCES = (
    Resource(
        v1alpha1.InferenceTask,
        "inferencetasks",
        "itask",
        "Namespaced",
        v1alpha1.TASK_RULES,
        v1alpha1.TASK_COLUMNS,
    ),
    Resource(
        v1alpha1.DeviceProfile,
        "deviceprofiles",
        "dprof",
        "Cluster",
        v1alpha1.DEVICE_RULES,
        v1alpha1.DEVICE_COLUMNS,
    ),
    Resource(
        v1alpha1.ModelProfile,
        "modelprofiles",
        "mprof",
        "Namespaced",
        v1alpha1.MODEL_RULES,
        v1alpha1.MODEL_COLUMNS,
    ),
)

_COPIED = (
    "type",
    "description",
    "enum",
    "format",
    "nullable",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
)


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """One pydantic JSON schema as a structural OpenAPI v3 schema.

    Raises:
        ValueError: the schema says something that a structural schema cannot.
    """
    schema = _resolve(schema, definitions)
    result = {key: schema[key] for key in _COPIED if key in schema}
    result |= {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
    for bound in ("Minimum", "Maximum"):
        if (value := schema.get(f"exclusive{bound}")) is not None:
            result |= {bound.lower(): value, f"exclusive{bound}": True}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if (default := schema.get("default")) is not None and default not in ([], {}):
        result["default"] = default
    if properties := schema.get("properties"):
        result["properties"] = {
            name: structural(field, definitions) for name, field in properties.items()
        }
    elif isinstance(values := schema.get("additionalProperties"), Mapping):
        result["additionalProperties"] = structural(values, definitions)
    if items := schema.get("items"):
        result["items"] = structural(items, definitions)
    if "type" not in result and "x-kubernetes-int-or-string" not in result:
        raise ValueError(f"no structural form for {schema}")
    return result


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Follow $ref, and read `X | None` as an optional X."""
    reserved = ("$ref", "anyOf", kubernetes_schema.REFERENCE)
    outer = {key: value for key, value in schema.items() if key not in reserved}
    if name := schema.get(kubernetes_schema.REFERENCE):
        return _resolve(kubernetes_schema.definitions()[name], definitions) | outer
    if reference := schema.get("$ref"):
        inner = definitions[reference.rsplit("/", 1)[1]]
        return _resolve(inner, definitions) | outer
    if choices := schema.get("anyOf"):
        kept = [choice for choice in choices if choice.get("type") != "null"]
        if len(kept) != 1:
            raise ValueError(f"a structural schema has no unions: {schema}")
        return _resolve(kept[0], definitions) | outer
    return outer


def definition(resource: Resource) -> dict[str, Any]:
    """The CustomResourceDefinition of a resource."""
    schema = resource.model.model_json_schema(by_alias=True)
    definitions = {**kubernetes_schema.definitions(), **schema.get("$defs", {})}
    root = structural(schema, definitions)
    root["properties"]["metadata"] = {"type": "object"}
    for field in ("apiVersion", "kind"):
        root["properties"][field] = {"type": "string"}
    spec = root["properties"]["spec"]
    spec["x-kubernetes-validations"] = [
        {"rule": rule.expression, "message": rule.message} for rule in resource.rules
    ]
    status = root["properties"]["status"]
    status.pop("required", None)
    root["required"] = ["spec"]
    if resource.scope == "Namespaced":
        name_rule = {"rule": v1alpha1.NAME_RULE.expression, "message": v1alpha1.NAME_RULE.message}
        root["x-kubernetes-validations"] = [name_rule]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": resource.scope,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short],
                "categories": ["acesniper"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def _column(column: PrinterColumn) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": column.priority} if column.priority else {})


def files() -> dict[str, str]:
    """File name to text, for every CRD."""
    header = "# Generated from core/acesniper/api/v1alpha1 by `make generate`; do not edit.\n"
    return {
        f"{GROUP}_{resource.plural}.yaml": header
        + yaml.safe_dump(definition(resource), sort_keys=False, width=100)
        for resource in RESOURCES
    }


def drift(folders: Iterable[Path]) -> list[Path]:
    """The files in `folders` whose text is not what the models say."""
    wanted = files()
    return [
        folder / name
        for folder in folders
        for name, text in wanted.items()
        if not (folder / name).is_file() or (folder / name).read_text() != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the folders; 1 if the check found drift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    options = parser.parse_args(arguments)
    folders = options.folders or [Path("crds"), Path("charts/acesniper/files/crds")]
    changed = drift(folders)
    for path in changed:
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[path.name])
        sys.stdout.write(f"{'differs' if options.check else 'wrote'} {path}\n")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
