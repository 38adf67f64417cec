"""Reads values.yaml with its comments: a value with a comment is a setting, else a group."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


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
