"""Parses JSON from the API server so that an object that cannot be read affects no other object.

The author of an object decides its content, and the API server accepts more than a parser in
Python does: `json.loads` raises RecursionError at about 1,000 nested levels, the server stores
10,000. The parser here refuses at `MAX_DEPTH`, which is below the limits of everything that handles
objects afterwards (copies, validation, encoding). An object beyond is replaced with a stub that has
its identity and the reason, so that its later versions and its deletion are still followed.
"""

import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from acesniper.api.objects import Json
from acesniper.domain.errors import InvalidInput

MAX_DEPTH = 200
"""Nested arrays and objects that the parser accepts. A pod, the deepest honest object, has 20."""
UNREADABLE = "acesniper.io/unreadable"
"""Field of a stub, with the reason why the object cannot be read. No stored object has it: the API
server drops unknown fields at the top of an object."""
STUB_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
)
"""Metadata of a stub."""
UNUSED_METADATA = "managedFields"
"""Never used, and nested as deeply as its author likes."""

_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]+|[\]}]+', re.DOTALL)
"""A string, or a run of opening or closing brackets."""


def _load_parser() -> Callable[[bytes | str], Any]:
    """`pydantic_core.from_json`, without the schema types that its package imports.

    Those take 50 ms of processor time, a tenth of what a command may take before its first request.
    """
    package, extension = "pydantic_core", "pydantic_core._pydantic_core"
    spec = find_spec(package)
    if package in sys.modules or spec is None or spec.submodule_search_locations is None:
        parser: Callable[[bytes | str], Any] = import_module(package).from_json
        return parser
    stand_in = sys.modules[package] = ModuleType(package)
    stand_in.__path__ = list(spec.submodule_search_locations)
    try:
        parser = import_module(extension).from_json
    finally:
        # A later import initialises the package, with the extension that is loaded now.
        del sys.modules[package]
    return parser


_from_json = _load_parser()


class MalformedJson(ValueError):
    """Text that is not JSON, or that exceeds the limits of the parser."""


def parse_json(text: bytes | str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse a JSON value.

    Raises:
        MalformedJson: it is not JSON, nested deeper than `MAX_DEPTH`, or has an integer of more
            than 4,300 digits.
    """
    try:
        return _from_json(text)
    except ValueError as error:
        raise MalformedJson(str(error)) from error


def parse_object(text: bytes) -> Json:
    """Parse an object; a stub if it cannot be read.

    Raises:
        MalformedJson: not even its metadata can be read.
    """
    try:
        parsed = parse_json(text)
    except MalformedJson:
        return _readable_part(text)
    return _as_object(parsed)


def parse_list(text: bytes) -> Json:
    """Parse a list response; `items` has a stub for each object that cannot be read.

    Raises:
        MalformedJson: it is not a list, or the metadata of an object cannot be read.
    """
    try:
        return _as_object(parse_json(text))
    except MalformedJson:
        envelope, parts = _outline(text, 2)
        items = envelope.get("items") or ()
        return {**envelope, "items": [parse_object(parts[item]) for item in items if item in parts]}


def parse_event(line: bytes) -> Json:
    """Parse a line of a watch, with `type` and `object`, which is a stub if it cannot be read.

    Raises:
        MalformedJson: it is not an event, or the metadata of its object cannot be read.
    """
    try:
        return _as_object(parse_json(line))
    except MalformedJson:
        envelope, parts = _outline(line, 1)
        if (part := parts.get(str(envelope.get("object")))) is None:
            raise
        return {**envelope, "object": parse_object(part)}


def check_readable(obj: Json) -> None:
    """Raise InvalidInput for the stub of an object that cannot be read."""
    if reason := obj.get(UNREADABLE):
        metadata = obj.get("metadata") or {}
        name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
        raise InvalidInput(f"{obj.get('kind') or 'object'} {name} cannot be read: {reason}")


def _as_object(parsed: object) -> Json:
    if not isinstance(parsed, dict):
        raise MalformedJson("not a JSON object")
    return parsed


def _readable_part(text: bytes) -> Json:
    """The object, if all its fields but `managedFields` can be read, otherwise its stub."""
    obj, parts = _outline(text, 1)
    reason = ""
    for field, value in obj.items():
        if not isinstance(value, str) or (part := parts.get(value)) is None:
            continue
        if field == "metadata":
            obj[field] = _metadata(part)
            continue
        try:
            obj[field] = parse_json(part)
        except MalformedJson as error:
            reason = f"{field}: {error}"
    return _stub(obj, reason) if reason else obj


def _metadata(text: bytes) -> Json:
    try:
        metadata = _as_object(parse_json(text))
    except MalformedJson:
        # Owners are nested in two others; what is nested deeper belongs to `managedFields`.
        metadata, _ = _outline(text, 3)
    return {name: value for name, value in metadata.items() if name != UNUSED_METADATA}


def _stub(obj: Json, reason: str) -> Json:
    metadata = {name: value for name, value in obj["metadata"].items() if name in STUB_METADATA}
    kind: Json = {name: obj[name] for name in ("apiVersion", "kind") if name in obj}
    return {**kind, "metadata": metadata, UNREADABLE: reason}


def _outline(text: bytes, depth: int) -> tuple[Json, dict[str, bytes]]:
    """An object with a placeholder for each value nested in `depth` others, and these by it."""
    kept, parts, copied = [], {}, 0
    for number, (start, end) in enumerate(_spans(text, depth)):
        placeholder = f"acesniper.io/part-{number}"
        parts[placeholder] = text[start:end]
        kept += [text[copied:start], f'"{placeholder}"'.encode()]
        copied = end
    return _as_object(parse_json(b"".join([*kept, text[copied:]]))), parts


def _spans(text: bytes, depth: int) -> Iterator[tuple[int, int]]:
    """Start and end of each array and object that is nested in exactly `depth` others."""
    level = start = 0
    for token in _TOKENS.finditer(text):
        run = token[0]
        before = level
        if run[0] in b"[{":
            level += len(run)
            if before <= depth < level:
                start = token.start() + depth - before
        elif run[0] in b"]}":
            level -= len(run)
            if level <= depth < before:
                yield start, token.start() + before - depth
