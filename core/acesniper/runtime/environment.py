"""Settings in general: read once at start, from a mapping, all mistakes shown at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from acesniper.domain.errors import InvalidInput

PREFIX = "ACESNIPER_"

Port = Annotated[int, Field(ge=0, le=65535)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class EnvironmentSettings(BaseModel):
    """Base: every field is read from `ACESNIPER_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: OptionalPath = None
    """Empty: the service account of the pod we run in."""
    log_format: Literal["json", "text"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Settings from an environment.

        Raises:
            InvalidInput: one line for each variable that is wrong.
        """
        values = {
            name: environment[variable]
            for name in cls.model_fields
            if (variable := cls.variable(name)) in environment
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [
                f"{cls.variable(str(each['loc'][0]))}={each['input']!r}: {each['msg']}"
                for each in error.errors()
            ]
            raise InvalidInput("\n".join(lines)) from error

    @staticmethod
    def variable(field: str) -> str:
        """The environment variable of a field."""
        return PREFIX + field.upper()
