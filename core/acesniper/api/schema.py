"""What a pydantic field can say to a CRD beyond its type: raw schema, rules, columns."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$"
_DURATION_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class RawSchema:
    """Replaces what pydantic would generate for a field by a raw schema."""

    raw: dict[str, Any]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object", **self.raw}


@dataclass(frozen=True, slots=True)
class CelRule:
    """A CEL rule over `spec`, and the message a person gets when it does not hold."""

    expression: str
    message: str


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`; priority 1 shows only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


def duration_s(text: str) -> float:
    """Seconds of a duration such as 1h30m.

    Raises:
        ValueError: the text is no duration.
    """
    if not re.match(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is no duration; write 90s, 15m or 1h30m")
    return sum(
        float(number) * _DURATION_UNITS_S[unit]
        for number, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)(ms|h|m|s)", text)
    )
