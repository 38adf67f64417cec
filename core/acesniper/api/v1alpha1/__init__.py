"""The resources of `acesniper.io/v1alpha1`: source of schemas, validation and documentation.

`kubectl explain` shows the descriptions of the fields. `acesniper.api.crd` generates `crds/` from
these models. Messages of validation rules name the field and the fix.
"""

from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1.conditions import condition_is_true, find_condition, with_condition
from acesniper.api.v1alpha1.device_profile import (
    DEVICE_COLUMNS,
    DEVICE_RULES,
    DeviceNamespace,
    DeviceObservation,
    DeviceProfile,
    DeviceProfileSpec,
    DeviceProfileStatus,
    DeviceReading,
)
from acesniper.api.v1alpha1.inference_task import (
    FINISHED,
    TASK_COLUMNS,
    TASK_RULES,
    DeadlinePolicy,
    InferenceTask,
    InferenceTaskSpec,
    InferenceTaskStatus,
    ModelPolicy,
    Phase,
    TaskCandidate,
    TaskDecision,
    TaskInput,
    TaskObservation,
    TaskOutput,
    TaskPrediction,
    TaskProgress,
)
from acesniper.api.v1alpha1.model_profile import (
    MODEL_COLUMNS,
    MODEL_RULES,
    DeviceClassLatency,
    ModelProfile,
    ModelProfileSpec,
    ModelProfileStatus,
    ReaderPod,
)
from acesniper.api.v1alpha1.schema import NAME_RULE, ApiType, Condition, ModelSource, Seconds

__all__ = [
    "API_VERSION",
    "DEVICE_COLUMNS",
    "DEVICE_RULES",
    "FINISHED",
    "MODEL_COLUMNS",
    "MODEL_RULES",
    "NAME_RULE",
    "TASK_COLUMNS",
    "TASK_RULES",
    "ApiType",
    "Condition",
    "DeadlinePolicy",
    "DeviceClassLatency",
    "DeviceNamespace",
    "DeviceObservation",
    "DeviceProfile",
    "DeviceProfileSpec",
    "DeviceProfileStatus",
    "DeviceReading",
    "InferenceTask",
    "InferenceTaskSpec",
    "InferenceTaskStatus",
    "ModelPolicy",
    "ModelProfile",
    "ModelProfileSpec",
    "ModelProfileStatus",
    "ModelSource",
    "Phase",
    "ReaderPod",
    "Seconds",
    "TaskCandidate",
    "TaskDecision",
    "TaskInput",
    "TaskObservation",
    "TaskOutput",
    "TaskPrediction",
    "TaskProgress",
    "condition_is_true",
    "find_condition",
    "with_condition",
]
