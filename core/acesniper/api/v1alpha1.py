"""The resources of `acesniper.io/v1alpha1`: the one source of schemas, checks and documentation.

Every field's description is what `kubectl explain` prints. `acesniper.api.crd` turns these models
into `crds/`. Messages of the rules name the field and the fix.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from acesniper.api.names import API_VERSION
from acesniper.api.schema import DURATION_PATTERN, Column, Rule, Schema

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
SHA256_PATTERN = r"^[a-f0-9]{64}$"
URI_PATTERN = r"^(https?|configmap)://.+$"

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)]
Dimension = Annotated[int, Field(ge=1, le=1_000_000_000)]
Shapes = Annotated[dict[str, Dimension], Field(max_length=32)]
Free = Annotated[dict[str, Any], Schema({"x-kubernetes-preserve-unknown-fields": True})]


class Wire(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are kept out, as the API server does."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="ignore", frozen=True
    )


class ModelSource(Wire):
    """Where a model's ONNX file is, and which bytes it must be."""

    uri: str = Field(
        pattern=URI_PATTERN,
        max_length=2048,
        description="Where the ONNX file is: http://, https:// or configmap://NAME/KEY "
        "(in the same namespace).",
    )
    sha256: str = Field(
        pattern=SHA256_PATTERN,
        description="SHA-256 of the file in lower-case hex, as `sha256sum FILE` prints it. "
        "A file with another digest is never used.",
    )


class Condition(Wire):
    """One aspect of an object's state, by the Kubernetes API conventions."""

    type: str = Field(description="The aspect, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="Why, as one CamelCase word for machines.")
    message: str = Field(default="", description="Why, as a sentence for people.")
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this was seen for."
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


class InferenceTaskSpec(Wire):
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
    tolerations: list[Free] = Field(
        default_factory=list, max_length=64, description="Tolerations of the task's pods."
    )
    resources: Free = Field(
        default_factory=dict, description="Resources of the runner container (requests, limits)."
    )
    template: Free = Field(
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
    suspend: bool = Field(default=False, description="True holds the task back; it keeps its turn.")


class TaskPrediction(Wire):
    """What was expected when the task was placed. Seconds."""

    text: str = Field(description="Latency of one inference with its interval, for people.")
    latency_seconds: float = Field(description="Expected latency of one inference.")
    low_seconds: float = Field(description="Lower end of the 90 % interval of the latency.")
    high_seconds: float = Field(description="Upper end of the 90 % interval of the latency.")
    wait_seconds: float = Field(description="Expected wait in the queue, from creation to start.")
    cold_start_seconds: float = Field(description="Expected time to load image and model.")
    run_seconds: float = Field(description="Expected run time of all inferences.")
    finish_time: str = Field(
        description="When it was expected to finish.", json_schema_extra={"format": "date-time"}
    )


class TaskObservation(Wire):
    """What really happened. Seconds."""

    text: str = Field(description="Median latency of one inference, for people.")
    latency_median_seconds: float | None = Field(
        default=None, description="Median latency of one inference, as the runner measured it."
    )
    latency_p90_seconds: float | None = Field(
        default=None, description="90th percentile of the latency of one inference."
    )
    load_seconds: float | None = Field(default=None, description="Time to load the model.")
    wait_seconds: float | None = Field(default=None, description="From creation to start.")
    start_time: str | None = Field(
        default=None, description="When it started.", json_schema_extra={"format": "date-time"}
    )
    finish_time: str | None = Field(
        default=None, description="When it finished.", json_schema_extra={"format": "date-time"}
    )


class InferenceTaskStatus(Wire):
    """The state of an InferenceTask, written by the operator."""

    phase: Phase | None = Field(default=None, description="The state in one word, for people.")
    message: str | None = Field(default=None, description="The state in a sentence, for people.")
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Profiled, Placed and Finished, for machines.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    model_profile: str | None = Field(
        default=None, description="The ModelProfile with this task's batch and shapes."
    )
    node: str | None = Field(default=None, description="The node it runs or ran on.")
    device: str | None = Field(default=None, description="The DeviceProfile it was placed on.")
    pod: str | None = Field(default=None, description="The pod of the current attempt.")
    pod_uid: str | None = Field(default=None, description="UID of that pod once it was made.")
    attempts: int = Field(default=0, description="Attempts that failed.")
    incarnation: int = Field(
        default=0, description="Pods of this attempt that were withdrawn before they started."
    )
    predicted: TaskPrediction | None = Field(default=None, description="What was expected.")
    observed: TaskObservation | None = Field(default=None, description="What happened.")
    error_ratio: float | None = Field(
        default=None, description="|predicted - observed| / observed, of the latency."
    )


class InferenceTask(Wire):
    """A finite piece of AI inference work, placed where it is predicted to finish first."""

    api_version: Literal["acesniper.io/v1alpha1"] = API_VERSION
    kind: Literal["InferenceTask"] = "InferenceTask"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: InferenceTaskSpec
    status: InferenceTaskStatus = Field(default_factory=InferenceTaskStatus)


class DeviceProfileSpec(Wire):
    """Which device is measured, and how."""

    node: Name = Field(description="The node that holds the device.")
    provider: str = Field(
        default="cpu",
        max_length=32,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="The runtime provider: cpu, cuda, openvino, ...",
    )
    slots: int = Field(
        default=1, ge=1, le=64, description="How many tasks the device runs at a time."
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads per inference. Empty: one per core."
    )
    reprobe: str | None = Field(
        default=None,
        max_length=64,
        description="Any new value asks the node to measure itself again.",
    )


class DeviceReading(Wire):
    """One reading of the probe suite."""

    seconds: float = Field(description="Seconds per run.", gt=0)
    spread: float = Field(description="Interquartile range over the median.", ge=0)


class DeviceProfileStatus(Wire):
    """What the probe measured, written by the probe on that node."""

    text: str | None = Field(default=None, description="The device in a few words, for people.")
    suite: str | None = Field(default=None, description="Name of the probe suite.")
    suite_version: str | None = Field(default=None, description="Version of the probe suite.")
    readings: dict[str, DeviceReading] = Field(
        default_factory=dict, description="The HRM vector: what each probe took."
    )
    missing: list[str] = Field(default_factory=list, description="Probes that could not run here.")
    runtime: str | None = Field(default=None, description="The inference runtime that was used.")
    runtime_version: str | None = Field(default=None, description="Its version.")
    architecture: str | None = Field(default=None, description="The CPU architecture.")
    cpu_model: str | None = Field(default=None, description="The processor's own name.")
    cores: int | None = Field(default=None, description="Processor cores of the node.")
    threads: int | None = Field(default=None, description="Threads used per inference.")
    cpu_quota: float | None = Field(default=None, description="Cores that the quota allows.")
    memory_bytes: int | None = Field(default=None, description="Memory of the device.")
    measured_at: str | None = Field(
        default=None, description="When.", json_schema_extra={"format": "date-time"}
    )
    duration_seconds: float | None = Field(default=None, description="How long measuring took.")
    reprobed: str | None = Field(default=None, description="The `reprobe` value this answers.")
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, Stale and Noisy.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )


class DeviceProfile(Wire):
    """What a device can do: the vector its probe measured, one per node and provider."""

    api_version: Literal["acesniper.io/v1alpha1"] = API_VERSION
    kind: Literal["DeviceProfile"] = "DeviceProfile"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: DeviceProfileSpec
    status: DeviceProfileStatus = Field(default_factory=DeviceProfileStatus)


class ModelProfileSpec(Wire):
    """Which model, and for which input shapes."""

    source: ModelSource = Field(description="Where the model is.")
    batch_size: int = Field(
        default=1, ge=1, le=65536, description="Value of a symbolic batch dimension."
    )
    input_shapes: Shapes = Field(
        default_factory=dict, description="Values for other symbolic dimensions, by name."
    )


class DeviceClassLatency(Wire):
    """Predicted latency over the devices of one class. Seconds."""

    device_class: str = Field(description="Provider and architecture, such as cpu/arm64.")
    devices: int = Field(description="How many devices of the class were predicted.")
    fastest_seconds: float = Field(description="Latency on the fastest of them.")
    median_seconds: float = Field(description="Median over them.")
    slowest_seconds: float = Field(description="Latency on the slowest of them.")


class ModelProfileStatus(Wire):
    """What one pass over the model's graph found, written by the operator."""

    text: str | None = Field(default=None, description="The model in a few words, for people.")
    features_version: str | None = Field(default=None, description="Version of the graph reader.")
    features: dict[str, float] = Field(
        default_factory=dict, description="The feature vector, by name."
    )
    flops: float | None = Field(default=None, description="Floating point operations (2 per MAC).")
    bytes_moved: float | None = Field(default=None, description="Bytes read and written.")
    parameters: int | None = Field(default=None, description="Number of weights.")
    peak_memory_bytes: int | None = Field(default=None, description="Weights and activations.")
    operators: dict[str, int] = Field(default_factory=dict, description="Nodes by operator.")
    similar: dict[str, float] = Field(
        default_factory=dict, description="Nearest known networks and their likeness, 0 to 1."
    )
    latency: list[DeviceClassLatency] = Field(
        default_factory=list, description="Predicted latency per device class."
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status is about."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Profiled and Unsupported.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )


class ModelProfile(Wire):
    """What a model asks for: read once from its ONNX graph."""

    api_version: Literal["acesniper.io/v1alpha1"] = API_VERSION
    kind: Literal["ModelProfile"] = "ModelProfile"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: ModelProfileSpec
    status: ModelProfileStatus = Field(default_factory=ModelProfileStatus)


def _immutable(field: str) -> Rule:
    same = (
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    )
    return Rule(same, f"spec.{field} cannot be changed; delete the object and create a new one")


def _duration(field: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || duration(self.{field}) > duration('0s')",
        f"spec.{field} must be longer than 0s, such as 90s or 1h30m",
    )


TASK_RULES = (
    Rule(
        "has(self.model) != has(self.source)",
        "give either spec.model (the name of a ModelProfile) or spec.source (uri and sha256)",
    ),
    Rule(
        "self.deadlinePolicy != 'Reject' || has(self.deadline)",
        "spec.deadlinePolicy Reject needs spec.deadline, such as 90s",
    ),
    _duration("deadline"),
    _duration("ttlAfterFinished"),
    *map(_immutable, ("model", "source", "batchSize", "inferences", "inputShapes", "runtime")),
)
DEVICE_RULES = (_immutable("node"), _immutable("provider"))
NAME_RULE = Rule(
    "self.metadata.name.size() <= 63",
    "metadata.name must have at most 63 characters: pods carry it as a label",
)
MODEL_RULES = tuple(map(_immutable, ("source", "batchSize", "inputShapes")))

TASK_COLUMNS = (
    Column("Phase", ".status.phase"),
    Column("Model", ".status.modelProfile"),
    Column("Node", ".status.node"),
    Column("Predicted", ".status.predicted.text"),
    Column("Observed", ".status.observed.text"),
    Column("Message", ".status.message", priority=1),
    Column("Age", ".metadata.creationTimestamp", "date"),
)
DEVICE_COLUMNS = (
    Column("Node", ".spec.node"),
    Column("Provider", ".spec.provider"),
    Column("Slots", ".spec.slots", "integer"),
    Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
    Column("Device", ".status.text"),
    Column("Suite", ".status.suiteVersion", priority=1),
    Column("Measured", ".status.measuredAt", "date"),
)
MODEL_COLUMNS = (
    Column("Profiled", ".status.conditions[?(@.type=='Profiled')].status"),
    Column("Model", ".status.text"),
    Column("Reason", ".status.conditions[?(@.type=='Profiled')].reason", priority=1),
    Column("Age", ".metadata.creationTimestamp", "date"),
)
