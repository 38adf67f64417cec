from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from acesniper.api.crd import RESOURCES, Resource, definition, drift, files, main, structural

ROOT = Path(__file__).parents[3]


def schema_of(resource: Resource) -> dict[str, Any]:
    schema: dict[str, Any] = definition(resource)["spec"]["versions"][0]["schema"]
    return dict(schema["openAPIV3Schema"])


KUBERNETES_TYPES = ("template", "resources", "tolerations")
"""Fields of InferenceTask.spec with Kubernetes' own schemas, which have no descriptions."""


def fields(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        if name not in KUBERNETES_TYPES:
            yield from fields(field, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(nested := schema.get(keyword), Mapping):
            yield from fields(nested, f"{path}[]")


def structural_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    return structural(schema, schema.get("$defs", {}))


def test_the_generated_files_in_the_repository_are_current() -> None:
    assert drift([ROOT / "crds", ROOT / "charts/acesniper/files/crds"]) == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_field_has_a_description(resource: Resource) -> None:
    schema = schema_of(resource)
    top = {".apiVersion", ".kind", ".metadata"}

    undescribed = [
        path for path, field in fields(schema) if path not in top and "description" not in field
    ]

    assert undescribed == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_printer_column_refers_to_an_existing_field(resource: Resource) -> None:
    paths = {path for path, _ in fields(schema_of(resource))}

    shown = [column.path.split("[")[0] for column in resource.columns]

    assert [path for path in shown if path not in paths | {".metadata.creationTimestamp"}] == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_validation_rule_names_existing_fields_in_its_message(resource: Resource) -> None:
    spec = schema_of(resource)["properties"]["spec"]

    for rule in spec["x-kubernetes-validations"]:
        assert "spec." in rule["message"]
        named = [name for name in spec["properties"] if f"self.{name}" in rule["rule"]]
        assert named


def test_a_status_is_never_required() -> None:
    for resource in RESOURCES:
        schema = schema_of(resource)
        assert schema["required"] == ["spec"]
        assert "required" not in schema["properties"]["status"]


def test_bounds_defaults_and_maps_are_kept() -> None:
    class Inner(BaseModel):
        ratio: float = Field(gt=0, lt=1)

    class Model(BaseModel):
        count: int = Field(default=3, ge=1, le=9)
        maybe: str | None = Field(default=None, max_length=5)
        inner: dict[str, Inner] = Field(default_factory=dict)
        several: list[Inner] = Field(default_factory=list, max_length=2)

    properties = structural_of(Model)["properties"]

    assert properties["count"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    assert properties["maybe"] == {"type": "string", "maxLength": 5}
    ratio = properties["inner"]["additionalProperties"]["properties"]["ratio"]
    assert (ratio["minimum"], ratio["exclusiveMinimum"]) == (0, True)
    assert (ratio["maximum"], ratio["exclusiveMaximum"]) == (1, True)
    assert properties["several"]["maxItems"] == 2
    assert properties["several"]["items"]["type"] == "object"


def test_a_union_is_rejected() -> None:
    class Model(BaseModel):
        either: int | str

    with pytest.raises(ValueError, match="a structural schema has no unions"):
        structural_of(Model)


def test_a_field_of_any_type_is_rejected() -> None:
    class Model(BaseModel):
        anything: Any

    with pytest.raises(ValueError, match="no structural form"):
        structural_of(Model)


def test_the_command_writes_checks_and_detects_drift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "crds"

    assert main(["--check", str(folder)]) == 1
    assert main([str(folder)]) == 0
    assert main(["--check", str(folder)]) == 0
    changed = next(folder.iterdir())
    changed.write_text("something else")
    capsys.readouterr()

    assert main(["--check", str(folder)]) == 1
    assert capsys.readouterr().out == f"differs {changed}\n"


def test_every_file_holds_one_definition_named_like_its_resource() -> None:
    for name, text in files().items():
        manifest = yaml.safe_load(text)
        group, plural = manifest["spec"]["group"], manifest["spec"]["names"]["plural"]

        assert name == f"{group}_{plural}.yaml"
        assert manifest["metadata"]["name"] == f"{plural}.{group}"
