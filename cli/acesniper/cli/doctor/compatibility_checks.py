"""Checks that versions are compatible: images, API server, this command, resource definitions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from acesniper.api.crd import RESOURCES, definition
from acesniper.api.names import GROUP, VERSION
from acesniper.api.objects import Json
from acesniper.cli.doctor.findings import (
    Finding,
    Severity,
    restore_release,
    upgrade_release,
)
from acesniper.cli.doctor.inventory import Inventory, container, containers, identify

OLDEST_KUBERNETES = (1, 33)
RUNNER_VARIABLE = "ACESNIPER_RUNNER_IMAGE"
MAX_LISTED_FIELDS = 3


def check_versions(inventory: Inventory) -> Iterable[Finding]:
    """Incompatible versions of Kubernetes, the images, kube-scheduler and this command."""
    yield from _api_server(inventory)
    yield from _images(inventory)
    yield from _kube_scheduler(inventory)


def check_definitions(inventory: Inventory) -> Iterable[Finding]:
    """CustomResourceDefinitions that are missing, not served, or of another version."""
    for resource in RESOURCES:
        name = f"{resource.plural}.{GROUP}"
        where = f"CustomResourceDefinition {name}"
        crd = inventory.named("customresourcedefinitions", name)
        if crd is None:
            yield Finding(f"{resource.kind} is not defined", where, *_fix(inventory))
            continue
        yield from _serving(crd, where)
        yield from _schema_differences(definition(resource), crd, where, inventory)


def image_tag(image: str) -> str:
    """The tag of an image; empty if it has a digest or neither."""
    name = image.partition("@")[0].rpartition("/")[2]
    return "" if "@" in image else name.partition(":")[2]


def minor_version(text: str) -> tuple[int, int] | None:
    """`v1.36.1+k3s1` as (1, 36); None if the text is not a version."""
    match = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def field_paths(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all fields of a schema, such as `spec.source.uri`."""
    for name, field in (schema.get("properties") or {}).items():
        yield (field_path := f"{path}.{name}".lstrip("."))
        yield from field_paths(field, field_path)
    for keyword in ("items", "additionalProperties"):
        if isinstance(nested := schema.get(keyword), Mapping):
            yield from field_paths(nested, f"{path}[]")


def _api_server(inventory: Inventory) -> Iterator[Finding]:
    server = minor_version(inventory.server_version)
    if server is not None and server < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        yield Finding(
            f"Kubernetes is {inventory.server_version}; scheduling gates and the admission policy"
            f" need {oldest} or newer",
            "the API server",
            "upgrade the cluster",
        )


def _images(inventory: Inventory) -> Iterator[Finding]:
    tags = dict(_image_tags(inventory))
    versions = set(tags.values())
    if len(versions) > 1:
        listed = ", ".join(f"{name} {tag}" for name, tag in sorted(tags.items()))
        yield Finding(
            f"the components have different versions: {listed}",
            f"namespace {inventory.namespace}",
            "restore the release if an image was changed by hand, or else upgrade the release",
            restore_release(inventory),
        )
    elif versions and (own := version("acesniper")) not in versions:
        yield Finding(
            f"this command has version {own}, the cluster runs {versions.pop()}",
            "this command",
            "install the cluster's version of this command; the other findings may not apply",
            severity=Severity.WARNING,
        )


def _image_tags(inventory: Inventory) -> Iterator[tuple[str, str]]:
    """The tags of our images by container; images that are named by digest are left out."""
    images: list[tuple[str, str]] = []
    for workload in inventory.workloads():
        for item in containers(workload):
            if item["name"] == "kube-scheduler":
                continue
            images.append((item["name"], item["image"]))
            images += [
                ("runner", variable.get("value", ""))
                for variable in item.get("env") or ()
                if variable["name"] == RUNNER_VARIABLE
            ]
    yield from ((name, tag) for name, image in images if (tag := image_tag(image)))


def _kube_scheduler(inventory: Inventory) -> Iterator[Finding]:
    workload = inventory.component("scheduler")
    scheduler = container(workload, "kube-scheduler") if workload else None
    server = minor_version(inventory.server_version)
    if workload is None or scheduler is None or server is None:
        return
    tag = image_tag(scheduler["image"])
    ours = minor_version(tag)
    if ours is not None and not 0 <= server[1] - ours[1] <= 1:
        yield Finding(
            f"kube-scheduler is {tag}, the API server {inventory.server_version}: kube-scheduler"
            " must be of the same minor version or one older",
            identify(workload),
            "restore the release if the image was changed by hand, or else upgrade it with an"
            " empty scheduler.image.tag",
            restore_release(inventory),
        )


def _fix(inventory: Inventory) -> tuple[str, str]:
    """A release of this version was changed by hand; another release is older."""
    if inventory.version == version("acesniper"):
        return "restore the release", restore_release(inventory)
    upgrade = upgrade_release(inventory, "crds.install=true")
    return "upgrade the release with its definitions", upgrade


def _serving(crd: Json, where: str) -> Iterator[Finding]:
    if crd["metadata"].get("deletionTimestamp"):
        yield Finding(
            "it is being deleted, and with it every object of its kind",
            where,
            "find out which finalizers are pending, then restore the release",
        )
    for entry in crd.get("status", {}).get("conditions") or ():
        if entry["type"] in ("Established", "NamesAccepted") and entry["status"] == "False":
            yield Finding(
                f"the API server does not serve it: {entry.get('message', '')}",
                where,
                "delete the definition that uses the same names (kubectl get crd)",
            )


def _schema_differences(
    expected: Json, crd: Json, where: str, inventory: Inventory
) -> Iterator[Finding]:
    expected_schema, schema = _schema(expected), _schema(crd)
    fix = _fix(inventory)
    if schema is None or expected_schema is None:
        yield Finding(f"it has no version {VERSION}", where, *fix)
        return
    known, served = set(field_paths(expected_schema)), set(field_paths(schema))
    if missing := sorted(known - served):
        yield Finding(
            f"it is older than this command: the API server drops {_listed(missing)}", where, *fix
        )
    elif unknown := sorted(served - known):
        yield Finding(
            f"it is newer than this command, which does not know {_listed(unknown)}",
            where,
            "install the cluster's version of this command",
        )
    elif _validation_rules(schema) != _validation_rules(expected_schema):
        yield Finding("its validation rules differ from those of this version", where, *fix)


def _schema(crd: Json) -> Mapping[str, Any] | None:
    for served in crd["spec"]["versions"]:
        if served["name"] == VERSION:
            schema: Mapping[str, Any] = served["schema"]["openAPIV3Schema"]
            return schema
    return None


def _validation_rules(schema: Mapping[str, Any]) -> set[str]:
    spec = schema["properties"]["spec"]
    return {entry["rule"] for entry in spec.get("x-kubernetes-validations") or ()}


def _listed(names: list[str]) -> str:
    rest = len(names) - MAX_LISTED_FIELDS
    return ", ".join(names[:MAX_LISTED_FIELDS]) + (f" and {rest} more" if rest > 0 else "")
