"""Patches that turn one object into another."""

from collections.abc import Mapping
from typing import Any


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest JSON merge patch (RFC 7386) from `before` to `after`.

    A key that is gone is removed by null: merging alone would keep it for ever.
    """
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        known = before.get(key)
        if key in before and known == value:
            continue
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        patch[key] = merge_patch(known or {}, value) if both else value
    return patch
