"""InferenceTask: a finite piece of inference work."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from acesniper.api.address import INPUT_PATTERN, OUTPUT_PATTERN
from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1.schema import (
    CREDENTIALS_DESCRIPTION,
    SHA256_PATTERN,
    ApiType,
    CelRule,
    Condition,
    Duration,
    FreeForm,
    ModelSource,
    Name,
    PrinterColumn,
    Seconds,
    Shapes,
    Time,
    address_rules,
    conditions_field,
    immutable,
)


class Phase(StrEnum):
    """A task's state in one word, for people."""

    PENDING = "Pending"
    QUEUED = "Queued"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


FINISHED = frozenset({Phase.SUCCEEDED, Phase.FAILED})


class DeadlinePolicy(StrEnum):
    """What to do with a task whose deadline cannot be met."""

    BEST_EFFORT = "BestEffort"
    REJECT = "Reject"


class ModelPolicy(StrEnum):
    """What to do with a task whose model cannot be used."""

    FAIL = "Fail"
    WAIT = "Wait"


class TaskInput(ApiType):
    """What the model is fed with."""

    uri: str = Field(
        pattern=INPUT_PATTERN,
        max_length=2048,
        description="A .npy or .npz file: http(s)://HOST/PATH, s3://BUCKET/KEY or "
        "pvc://CLAIM/PATH; a folder in a claim holds several, which are taken in turn.",
    )
    sha256: str | None = Field(
        default=None,
        pattern=SHA256_PATTERN,
        description="SHA-256 that a fetched file must have. Empty: any.",
    )
    secret: Name | None = Field(default=None, description=CREDENTIALS_DESCRIPTION)


class TaskOutput(ApiType):
    """Where outputs go: a file NAME/batch-000000.npz for each inference, NAME being the task's."""

    uri: str = Field(
        pattern=OUTPUT_PATTERN,
        max_length=2048,
        description="s3://BUCKET/PREFIX or pvc://CLAIM/FOLDER.",
    )
    secret: Name | None = Field(default=None, description=CREDENTIALS_DESCRIPTION)


class InferenceTaskSpec(ApiType):
    """A finite piece of inference work: a model, how much of it, and until when."""

    model: Name | None = Field(
        default=None,
        description="Name of a ModelProfile in this namespace. Give either this or `source`.",
    )
    source: ModelSource | None = Field(
        default=None,
        description="The model itself, when there is no ModelProfile for it yet; one is made.",
    )
    model_policy: ModelPolicy = Field(
        default=ModelPolicy.FAIL,
        description="What happens when the model cannot be used (wrong digest, no ONNX, too big): "
        "Fail fails the task, Wait keeps it until the ModelProfile is replaced. A model that only "
        "cannot be fetched just now is always waited for.",
    )
    batch_size: int = Field(
        default=1, ge=1, le=65536, description="Inputs that one inference takes at once."
    )
    inferences: int = Field(
        default=1, ge=1, le=1_000_000_000, description="How many inferences (batches) to run."
    )
    input_shapes: Shapes = Field(
        default_factory=dict,
        description="Values for the model's symbolic dimensions, by name, such as {sequence: 128}.",
    )
    input: TaskInput | None = Field(
        default=None, description="What the model is fed with. Empty: random values by shape."
    )
    output: TaskOutput | None = Field(
        default=None, description="Where outputs are written. Empty: nowhere."
    )
    runtime: list[Annotated[str, Field(max_length=32)]] = Field(
        default_factory=list,
        max_length=8,
        description="Providers that may run it, such as cpu or cuda. Empty: any.",
    )
    deadline: Duration | None = Field(
        default=None,
        description="How long after its creation it should be finished, such as 90s or 1h30m.",
    )
    deadline_policy: DeadlinePolicy = Field(
        default=DeadlinePolicy.BEST_EFFORT,
        description="BestEffort runs it all the same; Reject fails it as soon as no device can "
        "meet the deadline.",
    )
    priority_class_name: str | None = Field(
        default=None, max_length=253, description="PriorityClass of the task's pods."
    )
    node_selector: Annotated[dict[str, str], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels a node must have to run this task."
    )
    tolerations: list[FreeForm] = Field(
        default_factory=list, max_length=64, description="Tolerations of the task's pods."
    )
    resources: FreeForm = Field(
        default_factory=dict, description="Resources of the runner container (requests, limits)."
    )
    template: FreeForm = Field(
        default_factory=dict,
        description="A pod template for your own container; without it the runner image runs the "
        "model. Container `runner` is the one whose termination message is read as the report.",
    )
    retries: int = Field(
        default=2, ge=0, le=100, description="How often a failed task is tried again."
    )
    ttl_after_finished: Duration | None = Field(
        default=None, description="How long a finished task is kept. Empty: until you delete it."
    )
    permanent_exit_codes: list[Annotated[int, Field(ge=1, le=255)]] = Field(
        default_factory=list,
        max_length=32,
        description="Exit codes of your own container after which trying again is useless: the "
        "task fails at once. (The runner image has its own: a model or input that cannot be used.)",
    )
    suspend: bool = Field(
        default=False,
        description="True holds the task back until it is false again. What runs already runs on.",
    )
    cancel: bool = Field(
        default=False,
        description="True ends the task now, for good: its pod is stopped, the task fails with the "
        "reason Cancelled and is kept.",
    )


class TaskCandidate(ApiType):
    """A device that could have run the task, with every term of its finish time. Seconds."""

    device: str = Field(description="The DeviceProfile.")
    node: str = Field(description="Its node.")
    latency_seconds: Seconds = Field(description="Expected latency of one inference.")
    low_seconds: Seconds = Field(description="Lower end of its 90 % interval.")
    high_seconds: Seconds = Field(description="Upper end of its 90 % interval.")
    source: str = Field(description="The predictor and its version.")
    inferences: int = Field(ge=0, le=1_000_000_000, description="How many inferences.")
    backlog_seconds: Seconds = Field(description="Until a slot of the device is free.")
    cold_start_seconds: Seconds = Field(description="To start the container and load the model.")
    transfer_seconds: Seconds = Field(
        description="To bring the model's file there, unless it is there."
    )
    run_seconds: Seconds = Field(description="All inferences.")
    finish_seconds: Seconds = Field(description="The sum: from the decision to the end.")


class TaskDecision(ApiType):
    """Why the task is where it is."""

    decided_at: Seconds = Field(description="When, in seconds since the epoch.")
    policy: str = Field(description="The policy that decided.")
    candidates: list[TaskCandidate] = Field(
        default_factory=list, description="The chosen device first, then the next best."
    )
    pulls_image: bool = Field(
        default=False, description="Whether the chosen node had to pull the image."
    )
    fetches_model: bool = Field(
        default=False, description="Whether the model had not run on the chosen node before."
    )
    refused: dict[str, str] = Field(
        default_factory=dict, description="Devices that cannot run it and why; the first few."
    )


class TaskPrediction(ApiType):
    """What was expected when the task was placed. Seconds."""

    text: str = Field(description="Latency of one inference with its interval, for people.")
    latency_seconds: float = Field(description="Expected latency of one inference.")
    low_seconds: float = Field(description="Lower end of the 90 % interval of the latency.")
    high_seconds: float = Field(description="Upper end of the 90 % interval of the latency.")
    wait_seconds: float = Field(description="Expected wait in the queue, from creation to start.")
    cold_start_seconds: float = Field(description="Expected time to load image and model.")
    run_seconds: float = Field(description="Expected run time of all inferences.")
    finish_time: Time = Field(description="When it was expected to finish.")


class TaskObservation(ApiType):
    """What really happened. Seconds."""

    text: str = Field(description="Median latency of one inference, for people.")
    latency_median_seconds: float | None = Field(
        default=None, description="Median latency of one inference, as the runner measured it."
    )
    latency_p90_seconds: float | None = Field(
        default=None, description="90th percentile of the latency of one inference."
    )
    container_seconds: float | None = Field(
        default=None, description="From binding to the start of the container: pulling its image."
    )
    fetch_seconds: float | None = Field(
        default=None, description="Time to get the model's file, as the runner measured it."
    )
    load_seconds: float | None = Field(default=None, description="Time to load the model.")
    wait_seconds: float | None = Field(default=None, description="From creation to start.")
    start_time: Time | None = Field(default=None, description="When it started.")
    finish_time: Time | None = Field(default=None, description="When it finished.")


class TaskProgress(ApiType):
    """How far the runner is, asked every few seconds."""

    text: str = Field(description="Inferences done, of all, for people.")
    done: int = Field(description="Inferences done.", ge=0)
    total: int = Field(description="Inferences asked for.", ge=1)
    run_seconds: Seconds = Field(description="How long those that are done took.")
    seen_at: Time = Field(description="When the runner said so.")


class InferenceTaskStatus(ApiType):
    """The state of an InferenceTask, written by the operator."""

    phase: Phase | None = Field(default=None, description="The state in one word, for people.")
    message: str | None = Field(default=None, description="The state in a sentence, for people.")
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    conditions: list[Condition] = conditions_field(
        "Profiled, Placed, Healthy, Retrying, ModelChanged, DeadlineMet and Finished, for machines."
    )
    model_profile: str | None = Field(
        default=None, description="The ModelProfile with this task's batch and shapes."
    )
    node: str | None = Field(default=None, description="The node it runs or ran on.")
    device: str | None = Field(default=None, description="The DeviceProfile it was placed on.")
    pod: str | None = Field(default=None, description="The pod of the current attempt.")
    pod_uid: str | None = Field(default=None, description="UID of that pod once it was made.")
    attempts: int = Field(default=0, description="Attempts that failed, for whatever reason.")
    disruptions: int = Field(
        default=0,
        description="Those of them that the cluster ended (node lost, eviction, preemption): they "
        "cost no retry.",
    )
    incarnation: int = Field(
        default=0, description="Pods of this attempt that were withdrawn before they started."
    )
    progress: TaskProgress | None = Field(
        default=None, description="How far the current attempt is; long tasks only."
    )
    predicted: TaskPrediction | None = Field(default=None, description="What was expected.")
    decision: TaskDecision | None = Field(
        default=None, description="Why it was placed there; `acesniper explain` shows it."
    )
    observed: TaskObservation | None = Field(default=None, description="What happened.")
    error_ratio: float | None = Field(
        default=None, description="|predicted - observed| / observed, of the latency."
    )


class InferenceTask(ApiType):
    """A finite piece of AI inference work, placed where it is predicted to finish first."""

    api_version: Literal["acesniper.io/v1alpha1"] = API_VERSION
    kind: Literal["InferenceTask"] = "InferenceTask"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: InferenceTaskSpec
    status: InferenceTaskStatus = Field(default_factory=InferenceTaskStatus)


def _duration(field: str) -> CelRule:
    return CelRule(
        f"!has(self.{field}) || duration(self.{field}) > duration('0s')",
        f"spec.{field} must be longer than 0s, such as 90s or 1h30m",
    )


TASK_RULES = (
    CelRule(
        "has(self.model) != has(self.source)",
        "give either spec.model (the name of a ModelProfile) or spec.source (uri and sha256)",
    ),
    CelRule(
        "self.deadlinePolicy != 'Reject' || has(self.deadline)",
        "spec.deadlinePolicy Reject needs spec.deadline, such as 90s",
    ),
    _duration("deadline"),
    _duration("ttlAfterFinished"),
    CelRule(
        "!oldSelf.cancel || self.cancel", "spec.cancel cannot be taken back; create a new task"
    ),
    CelRule(
        "!has(self.template) || !(has(self.input) || has(self.output))",
        "spec.input and spec.output are for the runner image; with spec.template leave them out",
    ),
    *address_rules("source"),
    *address_rules("input"),
    *address_rules("output"),
    *map(
        immutable,
        (
            *("model", "source", "batchSize", "inferences", "inputShapes", "runtime"),
            *("input", "output"),
        ),
    ),
)
TASK_COLUMNS = (
    PrinterColumn("Phase", ".status.phase"),
    PrinterColumn("Model", ".status.modelProfile"),
    PrinterColumn("Node", ".status.node"),
    PrinterColumn("Progress", ".status.progress.text"),
    PrinterColumn("Predicted", ".status.predicted.text"),
    PrinterColumn("Observed", ".status.observed.text"),
    PrinterColumn("Message", ".status.message", priority=1),
    PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
)
