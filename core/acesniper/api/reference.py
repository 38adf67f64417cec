"""Reference pages of the resources and of their conditions and events."""

from collections.abc import Iterator, Mapping
from typing import Any

from acesniper.api.crd import RESOURCES, Resource, definition
from acesniper.api.names import API_VERSION
from acesniper.api.reasons import DEVICE, MODEL, POD, TASK, ConditionType, Reason
from acesniper.api.v1alpha1.schema import CelRule

Schema = Mapping[str, Any]

HEAD = f"""# Resources

Generated from `core/acesniper/api/v1alpha1/` by `make generate`; do not edit. `kubectl explain`
shows the same texts. All resources are in `{API_VERSION}`; the category `acesniper` lists them
all (`kubectl get acesniper -A`).
"""


CONDITIONS_HEAD = """# Conditions and events

Generated from `core/acesniper/api/reasons.py` by `make generate`; do not edit.

`kubectl get RESOURCE NAME -o jsonpath='{.status.conditions}'` shows the conditions of an object,
`kubectl describe` its events. Reasons are API: match them in programs, not the messages. How tasks
end, and which failures are retried: [endings](endings.md).
"""


def conditions_page() -> str:
    """The page of condition types, condition reasons and event reasons, as Markdown."""
    lines = [CONDITIONS_HEAD]
    for resource in (TASK, MODEL, DEVICE, POD):
        lines += [f"## {resource}", "", *_condition_types(resource), *_reasons(resource)]
    return "\n".join(lines).rstrip() + "\n"


def _condition_types(resource: str) -> Iterator[str]:
    written = {
        use.condition for reason in Reason for use in reason.uses if use.resource == resource
    }
    types = [kind for kind in ConditionType if kind in written]
    if types:
        yield "| condition | True means |"
        yield "|---|---|"
        yield from (f"| `{kind}` | {kind.meaning} |" for kind in types)
        yield ""


def _reasons(resource: str) -> Iterator[str]:
    yield "| reason | written as | meaning | what to do |"
    yield "|---|---|---|---|"
    for reason in sorted(Reason):
        uses = [use.text for use in reason.uses if use.resource == resource]
        if uses:
            yield f"| `{reason}` | {', '.join(uses)} | {reason.meaning} | {reason.remedy} |"
    yield ""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *(line for resource in RESOURCES for line in _resource(resource))])


def _resource(resource: Resource) -> Iterator[str]:
    schema = definition(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    yield f"## {resource.kind}"
    yield ""
    yield schema["description"]
    yield ""
    scope = "in a namespace" if resource.scope == "Namespaced" else "of the whole cluster"
    yield f"{scope.capitalize()}; short name `{resource.short}`."
    for part in ("spec", "status"):
        yield from _part(part, schema["properties"][part])
    if resource.rules:
        yield from _rules(resource.rules)
    yield ""


def _part(name: str, schema: Schema) -> Iterator[str]:
    yield f"\n### {name}\n"
    yield "| field | type | default | what it is |"
    yield "|---|---|---|---|"
    yield from _fields(schema, "")
    yield ""


def _fields(schema: Schema, path: str) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, field in (schema.get("properties") or {}).items():
        if "description" not in field:
            continue  # Kubernetes' own, as in a pod template
        here = f"{path}.{name}".lstrip(".")
        default = f"`{field['default']}`" if "default" in field else ""
        needed = "required" if name in required and not default else default
        yield f"| `{here}` | {_type(field)} | {needed} | {_text(field)} |"
        yield from _fields(field, here)
        if isinstance(inner := field.get("items"), Mapping):
            yield from _fields(inner, f"{here}[]")
        if isinstance(inner := field.get("additionalProperties"), Mapping):
            yield from _fields(inner, f"{here}.*")


def _type(schema: Schema) -> str:
    if choices := schema.get("enum"):
        return " or ".join(f"`{choice}`" for choice in choices)
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(inner := schema.get("additionalProperties"), Mapping):
        return f"map to {_type(inner)}"
    limits = [
        f"{sign} {schema[name]:g}"
        for name, sign in (("minimum", "≥"), ("maximum", "≤"))
        if name in schema
    ]
    return ", ".join([kind, *limits])


def _text(schema: Schema) -> str:
    return " ".join(str(schema.get("description", "")).split()).replace("|", "\\|")


def _rules(rules: tuple[CelRule, ...]) -> Iterator[str]:
    yield "\n### What the API server checks\n"
    yield from (f"- {rule.message}" for rule in rules)
