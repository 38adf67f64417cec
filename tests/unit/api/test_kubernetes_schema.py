"""The schemas of Kubernetes' own types in our CustomResourceDefinitions."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from acesniper.api.crd import RESOURCES, definition
from acesniper.api.kubernetes_schema import definitions, trimmed


def nodes(schema: object, depth: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every schema below one, with its depth."""
    if isinstance(schema, Mapping):
        yield depth, schema
        for value in schema.get("properties", {}).values():
            yield from nodes(value, depth + 1)
        for keyword in ("items", "additionalProperties"):
            yield from nodes(schema.get(keyword), depth + 1)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_no_field_of_a_resource_is_open(resource: Any) -> None:  # noqa: ANN401
    versions = definition(resource)["spec"]["versions"]
    top = versions[0]["schema"]["openAPIV3Schema"]
    found = list(nodes(top))

    assert not [node for _, node in found if "x-kubernetes-preserve-unknown-fields" in node]
    assert max(depth for depth, _ in found) < 30


def test_lists_maps_and_strings_of_kubernetes_types_are_limited() -> None:
    for _, node in (pair for schema in definitions().values() for pair in nodes(schema)):
        match node.get("type"):
            case "array":
                assert "maxItems" in node
            case "string":
                assert "maxLength" in node or "format" in node
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node


def test_a_type_is_trimmed_to_what_restricts_values() -> None:
    def schema(**properties: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"type": "object", "description": "text", "properties": properties}

    own = "#/components/schemas/io.k8s.api.core.v1"
    document = {
        "components": {
            "schemas": {
                "io.k8s.api.core.v1.PodTemplateSpec": schema(
                    spec={"allOf": [{"$ref": f"{own}.PodSpec"}], "default": {}}
                ),
                "io.k8s.api.core.v1.PodSpec": schema(
                    args={"type": "array", "items": {"type": "string", "default": ""}},
                    ephemeralContainers={"type": "array", "items": {"type": "string"}},
                ),
                "io.k8s.api.core.v1.ResourceRequirements": schema(),
                "io.k8s.api.core.v1.Toleration": schema(),
                "io.k8s.api.core.v1.Unused": schema(),
            }
        }
    }

    result = trimmed(document)

    assert sorted(result) == ["PodSpec", "PodTemplateSpec", "ResourceRequirements", "Toleration"]
    assert result["PodTemplateSpec"]["properties"] == {"spec": {"$ref": "#/$defs/PodSpec"}}
    items = {"type": "string", "maxLength": 65536}
    args = {"type": "array", "items": items, "maxItems": 1024}
    assert result["PodSpec"]["properties"] == {"args": args}
