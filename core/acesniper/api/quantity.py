"""Quantities, as the API server writes them: 1000 slots come back as 1k, memory as 512Mi."""

import re

_SCALES = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18} | {
    f"{each.upper()}i": 1024.0**power for power, each in enumerate("kmgtpe", start=1)
}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][-+]?\d+)|([A-Za-z]*))")


def count(quantity: object) -> int:
    """The number in a quantity of an extended resource; 0 for none."""
    return amount(quantity) or 0


def amount(quantity: object) -> int | None:
    """The number in any quantity, such as bytes of memory; None for none, or for what is none."""
    found = _AMOUNT.fullmatch(str(quantity)) if quantity is not None else None
    if found is None or (found[3] or "") not in _SCALES:
        return None
    return int(float(found[1] + (found[2] or "")) * _SCALES[found[3] or ""])
