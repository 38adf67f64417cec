"""Quantities, as the API server writes them: 1000 slots come back as 1k, 1e3 as it was given."""

import re
from math import isfinite

_POWERS = {each: 1000.0**power for power, each in enumerate("kMGTPE", start=1)}
_SCALES = {"": 1.0, "m": 1e-3, **_POWERS} | {
    f"{each.upper()}i": 1024.0**power for power, each in enumerate("kmgtpe", start=1)
}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][-+]?\d+)|([A-Za-z]*))")


def parse_count(quantity: str | int | None) -> int:
    """The number in a quantity of an extended resource, however its owner wrote it; 0 for none."""
    return parse_quantity(quantity) or 0


def parse_quantity(quantity: object) -> int | None:
    """The number in any quantity, such as bytes of memory; None for none, or for what is none."""
    found = _AMOUNT.fullmatch(str(quantity)) if quantity is not None else None
    if found is None or (found[3] or "") not in _SCALES:
        return None
    value = float(found[1] + (found[2] or "")) * _SCALES[found[3] or ""]
    return int(value) if isfinite(value) else None
