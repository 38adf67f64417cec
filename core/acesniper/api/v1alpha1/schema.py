"""Base class, field types, validation rules and printer columns of the resources."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from acesniper.api.address import MODEL_PATTERN
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S

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


NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
SHA256_PATTERN = r"^[a-f0-9]{64}$"
CREDENTIALS_DESCRIPTION = (
    "Secret of the same namespace that opens the store: mounted into the pod, read nowhere else. "
    "Keys: username and password, token, accessKeyId and secretAccessKey (sessionToken, endpoint, "
    "region), .dockerconfigjson, ca.crt."
)

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)]
Dimension = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""0 for what is still empty, as the past of a decoder at its first step."""

Shapes = Annotated[dict[str, Dimension], Field(max_length=32)]
TIME_PATTERN = (
    r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
    r"T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[-+]([01][0-9]|2[0-3]):[0-9]{2})$"
)
"""Of what the format date-time admits, all that is a time: no year 0, no zone a whole day off."""

Seconds = Annotated[float, Field(ge=0, le=1e30)]
"""So that sums and ratios of them are numbers, too."""
LatencySeconds = Annotated[float, Field(ge=MIN_LATENCY_S, le=MAX_LATENCY_S)]
Time = Annotated[str, Field(pattern=TIME_PATTERN, json_schema_extra={"format": "date-time"})]
FreeForm = Annotated[dict[str, Any], RawSchema({"x-kubernetes-preserve-unknown-fields": True})]


class ApiType(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are kept out, as the API server does."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="ignore", frozen=True
    )


class ModelSource(ApiType):
    """Where a model's ONNX file is, and which bytes it must be."""

    uri: str = Field(
        pattern=MODEL_PATTERN,
        max_length=2048,
        description="Where the ONNX file is: http(s)://HOST/PATH, s3://BUCKET/KEY (with "
        "?endpoint=https://HOST for another store than AWS), oci://REGISTRY/REPOSITORY "
        "(oci+http:// without TLS), pvc://CLAIM/PATH, configmap://NAME/KEY or "
        "hostpath:///PATH. Claims and ConfigMaps are those of the same namespace.",
    )
    sha256: str = Field(
        pattern=SHA256_PATTERN,
        description="SHA-256 of the file in lower-case hex, as `sha256sum FILE` prints it. "
        "A file with another digest is never used.",
    )
    secret: Name | None = Field(default=None, description=CREDENTIALS_DESCRIPTION)


class Condition(ApiType):
    """One aspect of an object's state, by the Kubernetes API conventions."""

    type: str = Field(description="The aspect, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="Why, as one CamelCase word for machines.")
    message: str = Field(default="", description="Why, as a sentence for people.")
    last_transition_time: Time = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this was seen for."
    )


def conditions_field(description: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A list of conditions by type; `description` names the types."""
    return Field(
        default_factory=list,
        description=description,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )


def immutable(field: str) -> CelRule:
    """The rule that a field of the spec keeps its value."""
    same = (
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    )
    return CelRule(same, f"spec.{field} cannot be changed; delete the object and create a new one")


def address_rules(field: str) -> tuple[CelRule, CelRule]:
    """What a pattern cannot say well of an optional field with `uri` and `secret`."""
    there = f"!has(self.{field})"
    mounted = "matches('^(pvc|configmap|hostpath)://')"
    return (
        CelRule(
            f"{there} || !has(self.{field}.secret) || !self.{field}.uri.{mounted}",
            f"spec.{field}.secret is for http(s)://, s3:// and oci:// only; leave it out",
        ),
        CelRule(
            f"{there} || !self.{field}.uri.matches('^(pvc|hostpath)://.*/[.][.](/.*)?$')",
            f"spec.{field}.uri must not leave its volume by '..'",
        ),
    )


NAME_RULE = CelRule(
    "self.metadata.name.size() <= 63",
    "metadata.name must have at most 63 characters: pods carry it as a label",
)
