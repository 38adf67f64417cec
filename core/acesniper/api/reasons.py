"""Every condition type, condition reason and event reason that Ace-Sniper writes.

Reasons are API: other programs match them. This table is their one source. `with_condition` and
`Notice` take members of it, and `docs/reference/conditions.md` is generated from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

TASK: Final = "InferenceTask"
MODEL: Final = "ModelProfile"
DEVICE: Final = "DeviceProfile"
POD: Final = "Pod"


class ConditionType(StrEnum):
    """Type of a status condition, with its meaning."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """A member, with what its status True says."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    PROFILED = "Profiled", "The features of the model are known."
    UNSUPPORTED = "Unsupported", "The model cannot be used; its profile is not retried."
    PLACED = "Placed", "The task is bound to a node."
    HEALTHY = "Healthy", "Nothing prevents the task's pod from starting or running."
    MODEL_CHANGED = "ModelChanged", "The model was replaced while the task runs."
    RETRYING = "Retrying", "An attempt failed; another one follows."
    DEADLINE_MET = "DeadlineMet", "The task succeeded before its deadline."
    FINISHED = "Finished", "The task has ended."
    READY = "Ready", "The device has been measured."
    STALE = "Stale", "The measurement is older than 30 days."
    NOISY = "Noisy", "The readings of the measurement vary too much."
    DRIFTING = "Drifting", "Observed latencies differ from what the measurement predicts."


@dataclass(frozen=True, slots=True)
class ReasonUse:
    """Where a reason is written: a condition of a resource with a status, or an event on it."""

    resource: str
    condition: ConditionType | None
    status: str
    """Of a condition: True or False. Of an event: Normal or Warning."""

    @property
    def text(self) -> str:
        """The use as a reader sees it, such as `Healthy` False."""
        if self.condition is None:
            return f"{self.status} event"
        return f"`{self.condition}` {self.status}"


Uses = tuple[ReasonUse, ...]


def _condition(resource: str, kind: ConditionType, *, holds: bool) -> ReasonUse:
    return ReasonUse(resource, kind, str(holds))


def _warning(resource: str) -> ReasonUse:
    return ReasonUse(resource, None, "Warning")


def _normal(resource: str) -> ReasonUse:
    return ReasonUse(resource, None, "Normal")


_END: Final = _condition(TASK, ConditionType.FINISHED, holds=True)
_FINAL: Final[Uses] = (_END, _warning(TASK))
_ATTEMPT: Final[Uses] = (_condition(TASK, ConditionType.RETRYING, holds=True), *_FINAL)
_UNHEALTHY: Final = _condition(TASK, ConditionType.HEALTHY, holds=False)
_POD: Final[Uses] = (_UNHEALTHY, *_ATTEMPT)
_NO_MODEL: Final = _condition(TASK, ConditionType.PROFILED, holds=False)
_NO_FEATURES: Final = _condition(MODEL, ConditionType.PROFILED, holds=False)
_MODEL: Final[Uses] = (
    _NO_FEATURES,
    _condition(MODEL, ConditionType.UNSUPPORTED, holds=True),
    _warning(MODEL),
    _NO_MODEL,
    *_FINAL,
)


class Reason(StrEnum):
    """Reason of a condition or event, with its uses, its meaning and what to do."""

    uses: Uses
    meaning: str
    remedy: str

    def __new__(
        cls, value: str, uses: Uses = (), meaning: str = "", remedy: str = "Nothing."
    ) -> Self:
        """A member; `remedy` says what a person should do."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.uses, member.meaning, member.remedy = tuple(dict.fromkeys(uses)), meaning, remedy
        return member

    # --- models: waiting, and profiled ---------------------------------------------------------

    PROFILED = (
        "Profiled",
        (
            _condition(MODEL, ConditionType.PROFILED, holds=True),
            _normal(MODEL),
            _condition(TASK, ConditionType.PROFILED, holds=True),
            _normal(TASK),
        ),
        "The model was read, and its latency can be predicted.",
    )
    MODEL_NOT_FOUND = (
        "ModelNotFound",
        (_NO_MODEL, _warning(TASK)),
        "spec.model names a ModelProfile that does not exist.",
        "Create the ModelProfile in the task's namespace.",
    )
    PROFILING = (
        "Profiling",
        (_NO_MODEL, _warning(TASK)),
        "The ModelProfile is being created or read.",
    )
    READING = (
        "Reading",
        (_NO_FEATURES, _NO_MODEL, _warning(TASK)),
        "A pod reads the model: it needs a Secret, a volume, or an address that the operator may "
        "not connect to.",
    )
    FETCH_FAILED = (
        "FetchFailed",
        (_NO_FEATURES, _NO_MODEL, _warning(TASK)),
        "The model's file cannot be fetched now; it is retried.",
        "Check spec.source, the server that the message names, and the Secret.",
    )

    # --- models that cannot be used ------------------------------------------------------------

    NOT_ONNX = (
        "NotOnnx",
        _MODEL,
        "The file is not a valid ONNX model.",
        "Export the model again; check it with `acesniper model profile FILE`.",
    )
    TOO_LARGE = (
        "TooLarge",
        _MODEL,
        "The file or its graph exceeds a limit.",
        "Raise the limit that the message names, or use a smaller model.",
    )
    DIGEST_MISMATCH = (
        "DigestMismatch",
        _MODEL,
        "The file's SHA-256 is not the one of spec.source.sha256.",
        "Correct the digest, or restore the file.",
    )
    KEY_NOT_FOUND = (
        "KeyNotFound",
        _MODEL,
        "The ConfigMap has no such key in binaryData.",
        "Correct the key, or add the file to the ConfigMap.",
    )
    NOT_FOUND = "NotFound", _MODEL, "There is no file at the path.", "Correct the path."
    UNSUPPORTED_SOURCE = (
        "UnsupportedSource",
        _MODEL,
        "The address of the model has no supported scheme.",
        "Use one of the addresses that `kubectl explain modelprofile.spec.source.uri` lists.",
    )
    UNSUPPORTED_INPUT = (
        "UnsupportedInput",
        _MODEL,
        "An input of the model is not a tensor.",
        "Export the model with tensors as inputs.",
    )
    UNSUPPORTED_OPSET = (
        "UnsupportedOpset",
        _MODEL,
        "The model uses a newer ONNX opset than is supported.",
        "Export the model with an older opset.",
    )
    UNBOUND_DIMENSION = (
        "UnboundDimension",
        _MODEL,
        "An input has a dimension without a size.",
        "Set its size in spec.inputShapes.",
    )
    FIXED_BATCH = (
        "FixedBatch",
        _MODEL,
        "The model has another fixed batch size than spec.batchSize.",
        "Correct spec.batchSize, or export the model with an open batch dimension.",
    )
    BAD_SHAPE = (
        "BadShape",
        _MODEL,
        "spec.inputShapes or spec.batchSize does not suit the model.",
        "Correct the dimension that the message names.",
    )
    SHAPE_INFERENCE_FAILED = (
        "ShapeInferenceFailed",
        _MODEL,
        "The shapes inside the model cannot be determined.",
        "Check the input shapes; export the model again.",
    )
    EXTERNAL_DATA_OUTSIDE = (
        "ExternalDataOutside",
        _MODEL,
        "The model refers to weights outside its folder.",
        "Export the model as one file.",
    )
    TOO_DEEP = (
        "TooDeep",
        _MODEL,
        "The graph nests too deeply.",
        "Export the model without deep nesting.",
    )
    TIMED_OUT = (
        "TimedOut",
        _MODEL,
        "Reading or measuring the model took too long.",
        "Use a smaller model.",
    )
    READER_CRASHED = (
        "ReaderCrashed",
        _MODEL,
        "The process that reads the model ended unexpectedly.",
        "Report the model; check it with `acesniper model profile FILE`.",
    )
    UNLOADABLE = (
        "Unloadable",
        _MODEL,
        "The runtime on the device cannot load or run the model.",
        "Exclude the provider with spec.runtime, or export the model with other operators.",
    )
    NOT_FINITE = (
        "NotFinite",
        _MODEL,
        "The model gives values that are not finite.",
        "Check the model.",
    )
    WRONG_RESULT = (
        "WrongResult",
        _MODEL,
        "The runtime's result differs from the reference.",
        "Use another runtime.",
    )
    CRASHED = (
        "Crashed",
        _MODEL,
        "The runtime crashed while it ran the model.",
        "Use another runtime.",
    )

    # --- tasks: on their way -------------------------------------------------------------------

    QUEUED = "Queued", (_normal(TASK),), "The task waits for a device."
    PLACED = (
        "Placed",
        (_condition(TASK, ConditionType.PLACED, holds=True), _normal(TASK)),
        "The task is bound to the node that the message names.",
    )
    POD_HEALTHY = (
        "PodHealthy",
        (_condition(TASK, ConditionType.HEALTHY, holds=True),),
        "The pod starts or runs without problems.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        (_UNHEALTHY, *_ATTEMPT),
        "kube-scheduler cannot place the pod on the device planned for it.",
        "Check what the message names; the task is planned elsewhere after 15 s.",
    )
    POD_REJECTED = (
        "PodRejected",
        (_UNHEALTHY, *_ATTEMPT),
        "The API server rejects the pod: a quota, a limit range or pod security.",
        "Grant what the message names; it is retried.",
    )
    RECONCILE_FAILED = (
        "ReconcileFailed",
        (_warning(TASK),),
        "Calls to the API server fail repeatedly; they are retried.",
        "Check what the message names, such as an admission webhook.",
    )
    MODEL_CHANGED = (
        "ModelChanged",
        (
            _condition(TASK, ConditionType.MODEL_CHANGED, holds=True),
            _normal(TASK),
            *_FINAL,
        ),
        "The model was replaced under its name after the task's pod was created.",
        "Create the task again if it has to use the new model.",
    )
    NO_PREDICTION = (
        "NoPrediction",
        (_warning(POD),),
        "The pod's model has no profile, so the pod was placed without a prediction.",
        "Create the ModelProfile that the label acesniper.io/model names.",
    )

    # --- attempts that failed: the cluster's fault ---------------------------------------------

    NODE_LOST = (
        "NodeLost",
        _POD,
        "The node is gone, or stopped responding.",
        "Check the node; the task is retried elsewhere.",
    )
    NODE_NOT_READY = (
        "NodeNotReady",
        _POD,
        "The node of the running pod is NotReady.",
        "Check the kubelet; the pod is evicted when its toleration ends.",
    )
    NODE_TAINTED = "NodeTainted", _POD, "A NoExecute taint evicts the pod."
    NODE_SHUTDOWN = "NodeShutdown", _POD, "The node shuts down."
    REJECTED_BY_NODE = (
        "RejectedByNode",
        _POD,
        "The kubelet did not admit the pod.",
        "Check the node's resources that the message names.",
    )
    EVICTED = "Evicted", _POD, "The pod was evicted: by the API, or under pressure on the node."
    PREEMPTED = "Preempted", _POD, "A pod of higher priority took its place."
    POD_LOST = "PodLost", _ATTEMPT, "The pod was deleted while it ran."

    # --- attempts that failed: the application's fault -----------------------------------------

    ATTEMPT_FAILED = (
        "AttemptFailed",
        _ATTEMPT,
        "The container failed.",
        "Read its last output in the message, or its log.",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        (*_ATTEMPT, *_MODEL),
        "The container was OOM-killed, or reading the model needs too much memory.",
        "Raise the memory limit, or add a device with more memory.",
    )
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        _POD,
        "The image cannot be pulled.",
        "Check the image's name, the registry and imagePullSecrets.",
    )
    INVALID_IMAGE_NAME = (
        "InvalidImageName",
        _POD,
        "The image's name is not valid.",
        "Correct it in a new task.",
    )
    CONTAINER_NOT_STARTED = (
        "ContainerNotStarted",
        _POD,
        "The container cannot be created or started.",
        "Check the Secrets, ConfigMaps and volumes that the message names.",
    )
    PERMANENT_EXIT_CODE = (
        "PermanentExitCode",
        _FINAL,
        "The container ended with one of spec.permanentExitCodes.",
        "Read its last output in the message, or its log.",
    )
    INVALID_INPUT = (
        "InvalidInput",
        _FINAL,
        "The runner cannot use the task's input.",
        "Correct what the message names in a new task.",
    )

    # --- how tasks end -------------------------------------------------------------------------

    SUCCEEDED = "Succeeded", (_END, _normal(TASK)), "The task succeeded."
    CANCELLED = "Cancelled", _FINAL, "spec.cancel was set."
    INVALID_POD = (
        "InvalidPod",
        _FINAL,
        "The API server rejects the pod as invalid, or spec.template is not a pod.",
        "Correct what the message names in a new task.",
    )
    LIMIT_EXCEEDED = (
        "LimitExceeded",
        _FINAL,
        "The task is predicted to run longer than one task may.",
        "Use several tasks with fewer inferences each, or ask the administrator to raise"
        " scheduling.settings.maxTaskS.",
    )
    RUN_TIME_EXCEEDED = (
        "RunTimeExceeded",
        _ATTEMPT,
        "The pod ran longer than its activeDeadlineSeconds, or than a multiple of its predicted"
        " time, and was ended.",
        "Check whether the run hangs; set spec.activeDeadline, or use fewer inferences per task.",
    )
    POD_LIMIT_EXCEEDED = (
        "PodLimitExceeded",
        _ATTEMPT,
        "The pod was evicted because it used more than a limit of its own, such as the sizeLimit of"
        " a volume.",
        "Raise the limit that the message names, or write less.",
    )
    DEADLINE_MET = (
        "DeadlineMet",
        (_condition(TASK, ConditionType.DEADLINE_MET, holds=True),),
        "The task succeeded before spec.deadline.",
    )
    DEADLINE_MISSED = (
        "DeadlineMissed",
        (_condition(TASK, ConditionType.DEADLINE_MET, holds=False), _warning(TASK)),
        "The task succeeded after spec.deadline.",
        "Add devices, or raise its priority.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        _FINAL,
        "spec.deadline passed before the task could start (deadlinePolicy Reject).",
        "Add devices, raise its priority, or allow more time.",
    )
    DEADLINE_UNREACHABLE = (
        "DeadlineUnreachable",
        _FINAL,
        "No device can finish the task before spec.deadline (deadlinePolicy Reject).",
        "Add devices, raise its priority, or allow more time.",
    )

    # --- devices -------------------------------------------------------------------------------

    MEASURED = (
        "Measured",
        (_condition(DEVICE, ConditionType.READY, holds=True),),
        "The probe has reported readings.",
    )
    NOT_MEASURED = (
        "NotMeasured",
        (_condition(DEVICE, ConditionType.READY, holds=False),),
        "The probe has not reported yet.",
        "If it stays so, read the log of the probe on the node.",
    )
    PROFILE_CURRENT = (
        "ProfileCurrent",
        (_condition(DEVICE, ConditionType.STALE, holds=False),),
        "The measurement is recent.",
    )
    PROFILE_EXPIRED = (
        "ProfileExpired",
        (_condition(DEVICE, ConditionType.STALE, holds=True),),
        "The measurement is older than 30 days.",
        "Set spec.reprobe to a new value.",
    )
    LOW_VARIANCE = (
        "LowVariance",
        (_condition(DEVICE, ConditionType.NOISY, holds=False),),
        "The readings repeat well.",
    )
    HIGH_VARIANCE = (
        "HighVariance",
        (_condition(DEVICE, ConditionType.NOISY, holds=True),),
        "The readings vary by more than 10 %.",
        "Stop other work on the node, then set spec.reprobe to a new value.",
    )
    LATENCY_AS_PREDICTED = (
        "LatencyAsPredicted",
        (_condition(DEVICE, ConditionType.DRIFTING, holds=False),),
        "Observed latencies match the predictions.",
    )
    LATENCY_DRIFT_UNCONFIRMED = (
        "LatencyDriftUnconfirmed",
        (_condition(DEVICE, ConditionType.DRIFTING, holds=False), _warning(DEVICE)),
        "The latencies of one namespace have shifted, and no other namespace confirms it; only"
        " predictions for this namespace follow. The device is measured again.",
        "If the new measurement is the same, check the tasks of this namespace.",
    )
    LATENCY_DRIFT = (
        "LatencyDrift",
        (_condition(DEVICE, ConditionType.DRIFTING, holds=True), _warning(DEVICE)),
        "The latencies of at least two namespaces have shifted; the device is measured again.",
        "If it persists, check cooling, power mode and other work on the node.",
    )

    # --- any resource --------------------------------------------------------------------------

    UNREADABLE = (
        "Unreadable",
        tuple(_warning(resource) for resource in (TASK, MODEL, DEVICE, POD)),
        "The object cannot be read or does not match its schema, and is skipped.",
        "Delete it, or correct the field that the message names.",
    )

    @classmethod
    def parse(cls, text: str, default: "Reason") -> "Reason":
        """The reason with this text; `default` for an unknown text."""
        return next((reason for reason in cls if reason.value == text), default)

    @classmethod
    def of_model(cls, text: str, default: "Reason") -> "Reason":
        """The reason why a model or input cannot be used; `default` for any other text.

        For text that a container wrote, which may be anything.
        """
        reason = cls.parse(text, default)
        return reason if reason in MODEL_REASONS or reason is cls.INVALID_INPUT else default


MODEL_REASONS: Final = frozenset(reason for reason in Reason if set(_MODEL) <= set(reason.uses))
"""Reasons of `acesniper.domain.errors.InvalidModel`."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Content of an event about an object."""

    reason: Reason
    message: str
    warning: bool = False


def undocumented(resource: str, written: Iterable[tuple[str | None, str, str]]) -> list[str]:
    """The (condition type, status, reason) of a resource that are missing from this table.

    For events, the type is None and the status is Normal or Warning.
    """
    documented = {
        (use.condition, use.status, reason.value)
        for reason in Reason
        for use in reason.uses
        if use.resource == resource
    }
    return [f"{resource}: {entry}" for entry in written if entry not in documented]
