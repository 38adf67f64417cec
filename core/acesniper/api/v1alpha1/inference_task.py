"""InferenceTask: a finite amount of inference work."""

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
    Message,
    ModelSource,
    Name,
    PodTemplate,
    PrinterColumn,
    ResourceRequirements,
    Seconds,
    Shapes,
    Time,
    Toleration,
    address_rules,
    conditions_field,
    immutable,
)


class Phase(StrEnum):
    """Summary of the state of a task."""

    PENDING = "Pending"
    QUEUED = "Queued"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


FINISHED = frozenset({Phase.SUCCEEDED, Phase.FAILED})


class DeadlinePolicy(StrEnum):
    """What happens to a task that cannot meet its deadline."""

    BEST_EFFORT = "BestEffort"
    REJECT = "Reject"


class ModelPolicy(StrEnum):
    """What happens to a task whose model cannot be used."""

    FAIL = "Fail"
    WAIT = "Wait"


class TaskInput(ApiType):
    """Input data of a task."""

    uri: str = Field(
        pattern=INPUT_PATTERN,
        max_length=2048,
        description="URI of a .npy or .npz file: http(s)://HOST/PATH, s3://BUCKET/KEY or "
        "pvc://CLAIM/PATH. A folder in a claim provides several files, which are "
        "used in rotation.",
    )
    sha256: str | None = Field(
        default=None,
        pattern=SHA256_PATTERN,
        description="SHA-256 digest that the fetched file must have, in lower-case hex. "
        "Default: not checked.",
    )
    secret: Name | None = Field(default=None, description=CREDENTIALS_DESCRIPTION)


class TaskOutput(ApiType):
    """Destination of the outputs: one file NAME/batch-000000.npz per inference of the task NAME."""

    uri: str = Field(
        pattern=OUTPUT_PATTERN,
        max_length=2048,
        description="URI of a folder: s3://BUCKET/PREFIX or pvc://CLAIM/FOLDER.",
    )
    secret: Name | None = Field(default=None, description=CREDENTIALS_DESCRIPTION)


class InferenceTaskSpec(ApiType):
    """A finite amount of inference work: a model, inferences and an optional deadline."""

    model: Name | None = Field(
        default=None,
        description="Name of a ModelProfile in the same namespace, such as resnet50. Exactly "
        "one of `model` and `source` is required.",
    )
    source: ModelSource | None = Field(
        default=None,
        description="Source of the model if there is no ModelProfile for it; the operator "
        "creates one.",
    )
    model_policy: ModelPolicy = Field(
        default=ModelPolicy.FAIL,
        description="What happens if the model cannot be used (wrong digest, not ONNX, too "
        "large): Fail fails the task, Wait keeps it pending until the ModelProfile "
        "is replaced. A model that cannot be fetched temporarily is always waited "
        "for.",
    )
    batch_size: int = Field(
        default=1, ge=1, le=65536, description="Number of inputs per inference. Default: 1."
    )
    inferences: int = Field(
        default=1,
        ge=1,
        le=1_000_000_000,
        description="Number of inferences (batches) to run, such as 1000. Default: 1.",
    )
    input_shapes: Shapes = Field(
        default_factory=dict,
        description="Sizes of the symbolic dimensions of the model by name, such as {sequence: "
        "128}.",
    )
    input: TaskInput | None = Field(
        default=None, description="Input data. Default: random values of the input shapes."
    )
    output: TaskOutput | None = Field(
        default=None, description="Destination of the outputs. Default: outputs are discarded."
    )
    runtime: list[Annotated[str, Field(max_length=32)]] = Field(
        default_factory=list,
        max_length=8,
        description="Runtime providers that may run the task, such as [cpu, cuda]. Default: any.",
    )
    deadline: Duration | None = Field(
        default=None,
        description="Time from creation until the task should be finished, such as 90s or "
        "1h30m. Default: no deadline.",
    )
    deadline_policy: DeadlinePolicy = Field(
        default=DeadlinePolicy.BEST_EFFORT,
        description="What happens to a task that cannot meet its deadline: BestEffort runs it "
        "anyway, Reject fails it as soon as no device can meet the deadline.",
    )
    active_deadline: Duration | None = Field(
        default=None,
        description="Longest time that one attempt may run, from its binding to a node, such as "
        "10m; then it is ended, and the task fails. Default: a multiple of the predicted run, see "
        "the chart value operator.settings.runLimitFactor.",
    )
    priority_class_name: str | None = Field(
        default=None,
        max_length=253,
        description="Name of the PriorityClass of the pods of the task. Default: the default "
        "class of the cluster.",
    )
    node_selector: Annotated[dict[str, str], Field(max_length=64)] = Field(
        default_factory=dict,
        description="Labels that a node must have to run the task, such as {kubernetes.io/arch:"
        " arm64}.",
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=64, description="Tolerations of the pods of the task."
    )
    resources: ResourceRequirements = Field(
        default_factory=dict,
        description="Resource requests and limits of the runner container, such as {limits: "
        "{memory: 2Gi}}.",
    )
    template: PodTemplate = Field(
        default_factory=dict,
        description="Pod template for a custom container. Default: the runner image runs the "
        "model. The termination message of the container named `runner` is read as "
        "the report.",
    )
    retries: int = Field(
        default=2,
        ge=0,
        le=100,
        description="Number of retries after failed attempts. Default: 2. Attempts that the "
        "cluster ended, as by eviction, do not count.",
    )
    ttl_after_finished: Duration | None = Field(
        default=None,
        description="Time after which a finished task is deleted, such as 24h. Default: never.",
    )
    permanent_exit_codes: list[Annotated[int, Field(ge=1, le=255)]] = Field(
        default_factory=list,
        max_length=32,
        description="Exit codes of a custom container that fail the task without a retry, such "
        "as [2, 64]. The runner image has its own codes, for a model or input that "
        "cannot be used.",
    )
    suspend: bool = Field(
        default=False,
        description="If true, no new attempt starts until it is false again. A running attempt "
        "continues. Default: false.",
    )
    cancel: bool = Field(
        default=False,
        description="If true, the task is cancelled permanently: its pod is deleted, and the "
        "task fails with the reason Cancelled. Default: false.",
    )


class TaskCandidate(ApiType):
    """A candidate device for the task with each term of its estimated finish time, in seconds."""

    device: str = Field(description="Name of the DeviceProfile.")
    node: str = Field(description="Name of the node of the device.")
    latency_seconds: Seconds = Field(description="Predicted latency of one inference, in seconds.")
    low_seconds: Seconds = Field(
        description="Lower end of the 90 % interval of the latency, in seconds."
    )
    high_seconds: Seconds = Field(
        description="Upper end of the 90 % interval of the latency, in seconds."
    )
    source: str = Field(description="Name and version of the predictor.")
    inferences: int = Field(ge=0, le=1_000_000_000, description="Number of inferences.")
    backlog_seconds: Seconds = Field(
        description="Time until a slot of the device is free, in seconds."
    )
    cold_start_seconds: Seconds = Field(
        description="Time to start the container and load the model, in seconds."
    )
    transfer_seconds: Seconds = Field(
        description="Time to fetch the model file, in seconds; 0 if it is on the node."
    )
    run_seconds: Seconds = Field(description="Time of all inferences, in seconds.")
    finish_seconds: Seconds = Field(
        description="Time from the decision to the finish, in seconds: the sum of the terms."
    )


class TaskDecision(ApiType):
    """Decision of the planner to place the task."""

    decided_at: Seconds = Field(description="Time of the decision, in seconds since the epoch.")
    policy: str = Field(description="Name of the scheduling policy.")
    candidates: list[TaskCandidate] = Field(
        default_factory=list,
        description="Candidate devices: the selected device first, then the next best.",
    )
    pulls_image: bool = Field(
        default=False, description="Whether the selected node has to pull the image."
    )
    fetches_model: bool = Field(
        default=False, description="Whether the selected node has to fetch the model file."
    )
    refused: dict[str, str] = Field(
        default_factory=dict,
        description="Infeasible devices with the reason, by name of the DeviceProfile; only the"
        " first few.",
    )


class TaskPrediction(ApiType):
    """Prediction at the time of placement; times in seconds."""

    text: str = Field(
        description='Latency of one inference with its interval, such as "12.3 ms (11.0 ms to '
        '13.8 ms)".'
    )
    latency_seconds: float = Field(description="Predicted latency of one inference, in seconds.")
    low_seconds: float = Field(
        description="Lower end of the 90 % interval of the latency, in seconds."
    )
    high_seconds: float = Field(
        description="Upper end of the 90 % interval of the latency, in seconds."
    )
    wait_seconds: float = Field(description="Predicted time from creation to start, in seconds.")
    cold_start_seconds: float = Field(
        description="Predicted time to start the container and load the model, in seconds."
    )
    run_seconds: float = Field(description="Predicted time of all inferences, in seconds.")
    finish_time: Time = Field(description="Predicted time of the finish.")


class TaskObservation(ApiType):
    """Observed times of a finished task, in seconds."""

    reported_by: Literal["Runner", "Container"] | None = Field(
        default=None,
        description="What measured the latency: Runner, the runner image as the operator starts it;"
        " or Container, any other container. Predictions learn from Container only if the"
        " administrator allows it, and for this namespace alone.",
    )
    text: str = Field(description='Median latency of one inference, such as "12.5 ms".')
    latency_median_seconds: float | None = Field(
        default=None,
        description="Median latency of one inference as measured by the runner, in seconds.",
    )
    latency_p90_seconds: float | None = Field(
        default=None, description="90th percentile of the latency of one inference, in seconds."
    )
    container_seconds: float | None = Field(
        default=None,
        description="Time from binding to the start of the container, which includes the image "
        "pull, in seconds.",
    )
    fetch_seconds: float | None = Field(
        default=None,
        description="Time to fetch the model file as measured by the runner, in seconds.",
    )
    load_seconds: float | None = Field(
        default=None, description="Time to load the model, in seconds."
    )
    wait_seconds: float | None = Field(
        default=None, description="Time from creation to start, in seconds."
    )
    start_time: Time | None = Field(default=None, description="Time of the start.")
    finish_time: Time | None = Field(default=None, description="Time of the finish.")


class TaskProgress(ApiType):
    """Progress of the running attempt, updated every few seconds."""

    text: str = Field(description='Inferences done and in total, such as "250 of 1000".')
    done: int = Field(description="Number of inferences done.", ge=0)
    total: int = Field(description="Number of inferences in total.", ge=1)
    run_seconds: Seconds = Field(
        description="Time that the inferences done have taken, in seconds."
    )
    seen_at: Time = Field(description="Time of this update.")


class InferenceTaskStatus(ApiType):
    """Observed state of an InferenceTask, written by the operator."""

    phase: Phase | None = Field(
        default=None,
        description="Summary of the state: Pending, Queued, Scheduled, Running, Succeeded or "
        "Failed. Programs should use the conditions.",
    )
    message: Message | None = Field(
        default=None, description="Explanation of the state in one sentence."
    )
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status reflects."
    )
    conditions: list[Condition] = conditions_field(
        "Conditions of the types Profiled, Placed, Healthy, Retrying, ModelChanged,"
        " DeadlineMet and Finished."
    )
    model_profile: str | None = Field(
        default=None,
        description="Name of the ModelProfile for the batch size and input shapes of the task.",
    )
    node: str | None = Field(
        default=None, description="Name of the node of the current or last attempt."
    )
    device: str | None = Field(
        default=None, description="Name of the DeviceProfile on which the task was placed."
    )
    pod: str | None = Field(default=None, description="Name of the pod of the current attempt.")
    pod_uid: str | None = Field(default=None, description="UID of the pod of the current attempt.")
    attempts: int = Field(default=0, description="Number of failed attempts, for any reason.")
    disruptions: int = Field(
        default=0,
        description="Number of failed attempts that the cluster ended (node lost, eviction, "
        "preemption); they do not count as retries.",
    )
    failed_devices: list[str] = Field(
        default_factory=list,
        max_length=8,
        description="Names of the DeviceProfiles on which attempts failed, the newest last; "
        "further attempts prefer other devices.",
    )
    incarnation: int = Field(
        default=0,
        description="Number of pods of the current attempt that were withdrawn before they "
        "started.",
    )
    progress: TaskProgress | None = Field(
        default=None, description="Progress of the current attempt; only for long tasks."
    )
    predicted: TaskPrediction | None = Field(
        default=None, description="Prediction at the time of placement."
    )
    decision: TaskDecision | None = Field(
        default=None, description="Decision of the planner; see `acesniper explain`."
    )
    observed: TaskObservation | None = Field(default=None, description="Observed times.")
    error_ratio: float | None = Field(
        default=None,
        description="Relative error of the predicted latency: |predicted - observed| / observed.",
    )


class InferenceTask(ApiType):
    """A finite amount of inference work, placed on the device predicted to finish it first."""

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
    _duration("activeDeadline"),
    _duration("ttlAfterFinished"),
    CelRule("!oldSelf.cancel || self.cancel", "spec.cancel cannot be reset; create a new task"),
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
            "model",
            "source",
            "batchSize",
            "inferences",
            "inputShapes",
            "runtime",
            "input",
            "output",
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
