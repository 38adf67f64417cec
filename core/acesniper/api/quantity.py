"""Quantities, as the API server writes them: 1000 slots come back as 1k, memory as 512Mi."""

import re

_POWERS = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_SCALES = {"": 1.0, "m": 1e-3, **_POWERS} | {
    f"{each.upper()}i": 1024.0**power for power, each in enumerate("kmgtpe", start=1)
}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][-+]?\d+)|([A-Za-z]*))")


def count(quantity: str | int | None) -> int:
    """The number in a quantity of an extended resource; 0 for none."""
    text = str(quantity or 0)
    if (power := _POWERS.get(text[-1])) is not None:
        return int(text[:-1]) * power
    return int(text)


def amount(quantity: object) -> int | None:
    """The number in any quantity, such as bytes of memory; None for none, or for what is none."""
    found = _AMOUNT.fullmatch(str(quantity)) if quantity is not None else None
    if found is None or (found[3] or "") not in _SCALES:
        return None
    return int(float(found[1] + (found[2] or "")) * _SCALES[found[3] or ""])
