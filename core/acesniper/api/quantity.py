"""Quantities of whole things, as the API server writes them: 1000 slots come back as 1k."""

_POWERS = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}


def count(quantity: str | int | None) -> int:
    """The number in a quantity of an extended resource; 0 for none."""
    text = str(quantity or 0)
    if (power := _POWERS.get(text[-1])) is not None:
        return int(text[:-1]) * power
    return int(text)
