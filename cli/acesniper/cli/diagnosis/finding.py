"""Something that is wrong with an installation, and how to mend it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether tasks suffer, or may."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong and where; `fix` says what to do, `command` does it where one command can."""

    what: str
    where: str
    fix: str
    command: str = ""
    severity: Severity = Severity.ERROR
    check: str = ""
