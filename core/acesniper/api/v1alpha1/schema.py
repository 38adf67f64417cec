"""Base class, field types, validation rules and printer columns of the resources."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from acesniper.api.address import MODEL_PATTERN
from acesniper.api.kubernetes_schema import REFERENCE
from acesniper.api.units import DURATION_PATTERN
from acesniper.domain.foreign_text import bounded_text
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S


@dataclass(frozen=True, slots=True)
class RawSchema:
    """Annotation that replaces the schema pydantic would generate for a field."""

    raw: dict[str, Any]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object", **self.raw}


@dataclass(frozen=True, slots=True)
class CelRule:
    """A CEL validation rule over `spec`, and the message if it does not hold."""

    expression: str
    message: str


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`; priority 1 is shown only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
SHA256_PATTERN = r"^[a-f0-9]{64}$"
CREDENTIALS_DESCRIPTION = (
    "Name of a Secret in the same namespace with the credentials of the store; it is mounted into "
    "the pod and not read by the operator. Keys: username and password, token, accessKeyId and "
    "secretAccessKey (sessionToken, endpoint, region), .dockerconfigjson, ca.crt."
)

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)]
Dimension = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""0 is valid: the key-value cache of a decoder is empty at the first step."""

Shapes = Annotated[dict[str, Dimension], Field(max_length=32)]
TIME_PATTERN = (
    r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
    r"T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[-+]([01][0-9]|2[0-3]):[0-9]{2})$"
)
"""Stricter than the format date-time: no year 0 and no offset of a whole day."""

Seconds = Annotated[float, Field(ge=0, le=1e30)]
"""Bounded so that sums and ratios stay finite."""
LatencySeconds = Annotated[float, Field(ge=MIN_LATENCY_S, le=MAX_LATENCY_S)]
Time = Annotated[str, Field(pattern=TIME_PATTERN, json_schema_extra={"format": "date-time"})]
Message = Annotated[str, PlainSerializer(bounded_text)]
"""Explanation for users. It may quote a server, a file or another object, so it is written as one
printable line of limited length, whatever it quotes."""
Toleration = Annotated[dict[str, Any], RawSchema({REFERENCE: "Toleration"})]
ResourceRequirements = Annotated[dict[str, Any], RawSchema({REFERENCE: "ResourceRequirements"})]
PodTemplate = Annotated[dict[str, Any], RawSchema({REFERENCE: "PodTemplateSpec"})]
"""Handled as plain JSON; the API server validates them by Kubernetes' own schema."""


class ApiType(BaseModel):
    """Base of API types: camelCase in JSON; unknown fields are dropped, as by the API server."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="ignore", frozen=True
    )


class ModelSource(ApiType):
    """URI and digest of an ONNX file."""

    uri: str = Field(
        pattern=MODEL_PATTERN,
        max_length=2048,
        description="URI of the ONNX file: http(s)://HOST/PATH, s3://BUCKET/KEY (with "
        "?endpoint=https://HOST for a store other than AWS), "
        "oci://REGISTRY/REPOSITORY (oci+http:// without TLS), pvc://CLAIM/PATH, "
        "configmap://NAME/KEY or hostpath:///PATH. Claims and ConfigMaps are those "
        "of the same namespace.",
    )
    sha256: str = Field(
        pattern=SHA256_PATTERN,
        description="SHA-256 digest of the file in lower-case hex, as printed by `sha256sum "
        "FILE`. A file with another digest is rejected.",
    )
    secret: Name | None = Field(default=None, description=CREDENTIALS_DESCRIPTION)


class Condition(ApiType):
    """One aspect of the state of an object, by the Kubernetes API conventions."""

    type: str = Field(description="Type of the condition, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    reason: str = Field(
        description="Reason for the last transition as one CamelCase word; see "
        "docs/reference/conditions.md."
    )
    message: Message = Field(default="", description="Explanation in one sentence.")
    last_transition_time: Time = Field(description="Time of the last change of the status.")
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the condition was observed for."
    )


def conditions_field(description: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field for a list of conditions, keyed by type."""
    return Field(
        default_factory=list,
        description=description,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )


def immutable(field: str) -> CelRule:
    """The rule that a field of the spec is immutable."""
    same = (
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    )
    return CelRule(same, f"spec.{field} is immutable; delete the object and create a new one")


def address_rules(field: str) -> tuple[CelRule, CelRule]:
    """Rules for an optional field with `uri` and `secret` that a pattern cannot express."""
    there = f"!has(self.{field})"
    mounted = "matches('^(pvc|configmap|hostpath)://')"
    return (
        CelRule(
            f"{there} || !has(self.{field}.secret) || !self.{field}.uri.{mounted}",
            f"spec.{field}.secret is valid only for http(s)://, s3:// and oci://; remove it",
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
