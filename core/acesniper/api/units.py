"""Times as the API server writes them, and seconds since the epoch."""

import re
from datetime import UTC, datetime
from math import isfinite

MAX_EPOCH_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last day that RFC 3339 can write: an absurd amount of work ends there at the latest."""


def epoch_s(timestamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(timestamp).timestamp()


def rfc3339(seconds: float) -> str:
    """An RFC 3339 time with milliseconds, in UTC."""
    text = datetime.fromtimestamp(min(seconds, MAX_EPOCH_S), UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def duration_text(seconds: float) -> str:
    """A duration for people: three digits and a unit."""
    for limit_s, unit_s, unit in ((1e-3, 1e-6, "us"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s")):
        if abs(seconds) < 0.9995 * limit_s:  # 999.5 and more would be shown as 1e+03
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# TODO merge docstring of acesniper.api.units:
# Quantities, as the API server writes them: 1000 slots come back as 1k, 1e3 as it was given.

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
