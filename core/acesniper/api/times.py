"""Times as the API server writes them, and seconds since the epoch."""

from datetime import UTC, datetime

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
