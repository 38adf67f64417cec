"""The ModelProfile with a task's own batch and shapes.

Features are read for fixed shapes. A task that asks for another batch or other shapes than the
profile it names, or that brings its own model, gets a profile of its own: same source, its shapes.
"""

import hashlib
import json

from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1 import InferenceTaskSpec, ModelProfile, ModelProfileSpec, ModelSource

Json = dict[str, object]


def variant_name(spec: InferenceTaskSpec, base: ModelProfile | None) -> str:
    """The name of the profile a task needs: the one it names if that fits, else one of its own."""
    if base is not None and matches_profile(spec, base.spec):
        return str(base.metadata["name"])
    source = spec.source or (base.spec.source if base else None)
    shapes = json.dumps([spec.batch_size, spec.input_shapes, source and source.uri], sort_keys=True)
    digest = hashlib.sha256(f"{source and source.sha256} {shapes}".encode()).hexdigest()[:10]
    stem = spec.model or "model"
    return f"{stem[:40].rstrip('-.')}-b{spec.batch_size}-{digest}"


def matches_profile(spec: InferenceTaskSpec, profile: ModelProfileSpec) -> bool:
    """Whether a profile was read for a task's batch and shapes."""
    return (
        spec.batch_size == profile.batch_size
        and {**profile.input_shapes, **spec.input_shapes} == profile.input_shapes
    )


def variant_manifest(
    name: str,
    namespace: str,
    source: ModelSource,
    spec: InferenceTaskSpec,
    base: ModelProfile | None,
) -> Json:
    """The profile to create for a task."""
    shapes = {**(base.spec.input_shapes if base else {}), **spec.input_shapes}
    wanted = ModelProfileSpec(source=source, batch_size=spec.batch_size, input_shapes=shapes)
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {"name": name, "namespace": namespace},
        "spec": wanted.model_dump(by_alias=True, mode="json", exclude_none=True),
    }
