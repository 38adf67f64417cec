"""Whether the three resources are there, in the form that this version reads and writes."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from acesniper.api.crd import RESOURCES, definition
from acesniper.api.names import GROUP, VERSION
from acesniper.api.objects import Json
from acesniper.cli.doctor.command.finding import Finding
from acesniper.cli.doctor.command.sight import Sight

SHOWN = 3
"""Fields that are named; the rest is counted."""


def judge(sight: Sight) -> Iterable[Finding]:
    """Definitions that are missing, not served, or of another version."""
    for resource in RESOURCES:
        name = f"{resource.plural}.{GROUP}"
        where = f"CustomResourceDefinition {name}"
        found = sight.named("customresourcedefinitions", name)
        if found is None:
            what = f"the cluster does not know {resource.kind}"
            yield Finding(what, where, *_mend(sight))
            continue
        yield from _served(found, where)
        yield from _same(definition(resource), found, where, sight)


def fields(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all fields of a schema, such as `spec.source.uri`."""
    for name, each in (schema.get("properties") or {}).items():
        yield (here := f"{path}.{name}".lstrip("."))
        yield from fields(each, here)
    for inner in ("items", "additionalProperties"):
        if isinstance(each := schema.get(inner), Mapping):
            yield from fields(each, f"{path}[]")


def _mend(sight: Sight) -> tuple[str, str]:
    """Definitions of a release of this very version were changed by hand; others are older."""
    if sight.version == version("acesniper"):
        return "put back what the release made", sight.restore()
    return "upgrade the release: its definitions go with it", sight.upgrade("crds.install=true")


def _served(found: Json, where: str) -> Iterator[Finding]:
    if found["metadata"].get("deletionTimestamp"):
        yield Finding(
            "it is being deleted, and with it every object of its kind",
            where,
            "find out what its finalizers wait for; then put back what the release made",
        )
    for each in found.get("status", {}).get("conditions") or ():
        if each["type"] in ("Established", "NamesAccepted") and each["status"] == "False":
            yield Finding(
                f"the API server does not serve it: {each.get('message', '')}",
                where,
                "remove what has the same names (kubectl get crd)",
            )


def _same(wanted: Json, found: Json, where: str, sight: Sight) -> Iterator[Finding]:
    wanted_schema, schema = _schema(wanted), _schema(found)
    mend = _mend(sight)
    if schema is None or wanted_schema is None:
        yield Finding(f"it has no version {VERSION}", where, *mend)
        return
    ours, theirs = set(fields(wanted_schema)), set(fields(schema))
    if missing := sorted(ours - theirs):
        yield Finding(
            f"it is older than this command: the API server drops {_listed(missing)}", where, *mend
        )
    elif strange := sorted(theirs - ours):
        yield Finding(
            f"it is newer than this command, which does not know {_listed(strange)}",
            where,
            "install the version of the cluster",
        )
    elif _rules(schema) != _rules(wanted_schema):
        yield Finding("it checks specs by other rules than this version's", where, *mend)


def _schema(thing: Json) -> Mapping[str, Any] | None:
    for each in thing["spec"]["versions"]:
        if each["name"] == VERSION:
            schema: Mapping[str, Any] = each["schema"]["openAPIV3Schema"]
            return schema
    return None


def _rules(schema: Mapping[str, Any]) -> set[str]:
    spec = schema["properties"]["spec"]
    return {each["rule"] for each in spec.get("x-kubernetes-validations") or ()}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
