"""The errors Ace-Sniper raises, one tree.

AcesniperError
├── InvalidInput      the user's: a spec, a model or a file that cannot be used; retrying won't help
│   ├── InvalidTask
│   └── InvalidModel
├── Unavailable       something outside does not answer now; try later
│   ├── Conflict      the object changed under us; read again
│   ├── Forbidden     a right or a quota is missing; someone has to grant it
│   └── Throttled     the server asked us to wait
└── VersionMismatch   two parts speak different versions of a vector
    └── ModelMismatch     a trained network is not the one that the code around it expects

Expected outcomes (a node that does not fit, a prediction nobody can make) are values, not errors.
"""

from typing import Final, Literal, get_args

InvalidModelReason = Literal[
    "BadShape",
    "Crashed",
    "DigestMismatch",
    "ExternalDataOutside",
    "FixedBatch",
    "KeyNotFound",
    "NotFinite",
    "NotFound",
    "NotOnnx",
    "OutOfMemory",
    "ReaderCrashed",
    "ShapeInferenceFailed",
    "TimedOut",
    "TooDeep",
    "TooLarge",
    "UnboundDimension",
    "Unloadable",
    "UnsupportedInput",
    "UnsupportedOpset",
    "UnsupportedSource",
    "WrongResult",
]
"""Why a model cannot be used, as one CamelCase word."""
INVALID_MODEL_REASONS: Final[tuple[InvalidModelReason, ...]] = get_args(InvalidModelReason)


def invalid_model_reason(text: object, default: InvalidModelReason) -> InvalidModelReason:
    """The reason with this text, as another process gave it; `default` for any other text."""
    return next((reason for reason in INVALID_MODEL_REASONS if reason == text), default)


class AcesniperError(Exception):
    """Base of all errors raised on purpose."""


class InvalidInput(AcesniperError):
    """Something a person wrote cannot be used; the message names the field, value and fix."""


class InvalidTask(InvalidInput):
    """An InferenceTask that can never run as written."""


class InvalidModel(InvalidInput):
    """A model that cannot be fetched, verified or read.

    `reason` is one of the reasons in `acesniper.api.reasons`.
    """

    def __init__(self, reason: InvalidModelReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unavailable(AcesniperError):
    """A part outside of us does not answer now; the same call may succeed later."""


class Conflict(Unavailable):
    """The object changed since it was read, or exists already."""


class Forbidden(Unavailable):
    """The server refuses for now: a right, a quota or a pod security level is missing."""


class Throttled(Unavailable):
    """The server asked for a pause of `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VersionMismatch(AcesniperError):
    """A vector was written by another version than the one that reads it."""


class ModelMismatch(VersionMismatch):
    """A network's file is of another version, incomplete, or not equal to what was trained."""
