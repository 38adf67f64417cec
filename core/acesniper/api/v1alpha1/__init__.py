"""The resources of `acesniper.io/v1alpha1`: the one source of schemas, checks and documentation.

Every field's description is what `kubectl explain` prints. `acesniper.api.crd` turns these models
into `crds/`. Messages of the rules name the field and the fix.
"""

from acesniper.api.v1alpha1.device_profile import (
    DEVICE_COLUMNS,
    DEVICE_RULES,
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
)
from acesniper.api.v1alpha1.schema import NAME_RULE, ApiType, Condition, ModelSource, Seconds

__all__ = [
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
    "Seconds",
    "TaskCandidate",
    "TaskDecision",
    "TaskInput",
    "TaskObservation",
    "TaskOutput",
    "TaskPrediction",
    "TaskProgress",
]
