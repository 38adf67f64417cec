"""Times, durations and quantities, as text of the Kubernetes API and as numbers."""

import re
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from math import isfinite

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$"
_DURATION_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
MAX_EPOCH_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last time that RFC 3339 can express; later finish times are cut to it."""


def epoch_s(timestamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(timestamp).timestamp()


def rfc3339(seconds: float) -> str:
    """An RFC 3339 time with milliseconds, in UTC."""
    text = datetime.fromtimestamp(min(seconds, MAX_EPOCH_S), UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def duration_s(text: str) -> float:
    """Seconds of a duration such as 1h30m.

    Raises:
        ValueError: the text is not a duration.
    """
    if not re.match(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration; use 90s, 15m or 1h30m")
    return sum(
        float(number) * _DURATION_UNITS_S[unit]
        for number, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)(ms|h|m|s)", text)
    )


def duration_text(seconds: float) -> str:
    """A duration as text with three digits and a unit."""
    for limit_s, unit_s, unit in ((1e-3, 1e-6, "us"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s")):
        if abs(seconds) < 0.9995 * limit_s:  # 999.5 and more would be shown as 1e+03
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


_POWERS = {unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)}
_SCALES = {"": 1.0, "m": 1e-3, **_POWERS} | {
    f"{unit.upper()}i": 1024.0**power for power, unit in enumerate("kmgtpe", start=1)
}
_EXACT = {"": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")} | {
    unit: Decimal(int(scale)) for unit, scale in _SCALES.items() if scale > 1.0
}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][-+]?\d+)|([A-Za-z]*))")


def parse_count(quantity: str | int | None) -> int:
    """An integer quantity of an extended resource, such as 1k; 0 for None."""
    return parse_quantity(quantity) or 0


def quantity(text: object) -> Decimal | None:
    """The exact value of a quantity, such as 250m or 1.5Gi; None if it is missing or malformed."""
    match = _AMOUNT.fullmatch(str(text).lstrip("+")) if text is not None else None
    if match is None or (match[3] or "") not in _EXACT:
        return None
    try:
        return Decimal(match[1] + (match[2] or "")) * _EXACT[match[3] or ""]
    except DecimalException:
        return None


def parse_quantity(quantity: object) -> int | None:
    """A quantity as an integer, such as bytes of memory; None if it is missing or malformed."""
    match = _AMOUNT.fullmatch(str(quantity)) if quantity is not None else None
    if match is None or (match[3] or "") not in _SCALES:
        return None
    value = float(match[1] + (match[2] or "")) * _SCALES[match[3] or ""]
    return int(value) if isfinite(value) else None
