"""Errors raised by Ace-Sniper.

AcesniperError
├── InvalidInput              a task, model, file or option that cannot be used; retrying is useless
│   ├── InvalidTask
│   └── InvalidModel
├── Unavailable               a dependency does not answer now; retry later
│   ├── AddressNotAllowed     a server is at an address that may not be connected to
│   ├── Conflict              the object changed or exists already; read it again
│   ├── Forbidden             a permission or quota is missing
│   │   └── NamespaceTerminating
│   ├── NotFound              the object does not exist
│   ├── NotLeading            another replica holds the lease
│   ├── ResourceVersionExpired  a watch must start from a new list
│   └── Throttled             the server asked for a pause
└── VersionMismatch           two parts use different versions of a feature vector
    └── ModelMismatch         a trained network does not fit the code that loads it

Expected outcomes (an infeasible device, a missing prediction) are values, not errors.
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
    """The reason with this text, reported by another process; `default` for any other text."""
    return next((reason for reason in INVALID_MODEL_REASONS if reason == text), default)


class AcesniperError(Exception):
    """Base class of the errors raised by Ace-Sniper."""


class InvalidInput(AcesniperError):
    """User input that cannot be used; the message names the field, its value and the fix."""


class InvalidTask(InvalidInput):
    """An InferenceTask that can never run as specified."""


class InvalidModel(InvalidInput):
    """A model that cannot be fetched, verified or read.

    `reason` is one of the reasons in `acesniper.api.reasons`.
    """

    def __init__(self, reason: InvalidModelReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unavailable(AcesniperError):
    """An external dependency does not answer now; the same call may succeed later."""


class AddressNotAllowed(Unavailable):
    """A server is at an address that this process must not connect to; another one may."""


class Conflict(Unavailable):
    """The object changed since it was read, or exists already."""


class Forbidden(Unavailable):
    """The server refuses the request: a permission, quota or pod security level is missing."""


class NamespaceTerminating(Forbidden):
    """The namespace is being deleted; no objects can be created in it."""


class NotFound(Unavailable):
    """The object does not exist."""


class NotLeading(Unavailable):
    """A write was refused because another replica holds, or may hold, the lease."""


class ResourceVersionExpired(Unavailable):
    """The resource version to watch from is too old; list again."""


class Throttled(Unavailable):
    """The server asked to retry after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VersionMismatch(AcesniperError):
    """A vector was written by a different version than the one that reads it."""


class ModelMismatch(VersionMismatch):
    """The file of a trained network is incomplete, of another version or differs from training."""
