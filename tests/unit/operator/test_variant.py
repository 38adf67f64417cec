from typing import Any

from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskSpec, ModelProfile
from acesniper.operator.task.pending import variant_manifest, variant_name
from builders import SHA256, make_itask, make_model_profile

OWN = {"uri": "https://models.example/own.onnx", "sha256": SHA256}


def spec(**fields: Any) -> InferenceTaskSpec:  # noqa: ANN401
    model = None if "source" in fields else "model"
    return InferenceTask.model_validate(make_itask(model=model, **fields)).spec


def base(name: str = "model", **fields: Any) -> ModelProfile:  # noqa: ANN401
    return ModelProfile.model_validate(make_model_profile(name, **fields))


def test_a_profile_that_fits_is_used_as_it_is() -> None:
    assert variant_name(spec(), base()) == "model"
    assert variant_name(spec(batchSize=4), base(batchSize=4)) == "model"


def test_shapes_that_the_profile_has_anyway_fit() -> None:
    profile = base(inputShapes={"height": 224, "width": 224})

    assert variant_name(spec(inputShapes={"height": 224}), profile) == "model"


def test_another_batch_or_shape_needs_a_profile_of_its_own() -> None:
    profile = base(inputShapes={"height": 224})

    names = {
        variant_name(spec(), profile),
        variant_name(spec(batchSize=4), profile),
        variant_name(spec(inputShapes={"height": 512}), profile),
        variant_name(spec(batchSize=4, inputShapes={"height": 512}), profile),
    }

    assert len(names) == 4


def test_tasks_that_ask_for_the_same_share_a_profile() -> None:
    first = variant_name(spec(source=OWN, inputShapes={"a": 1, "b": 2}), None)
    second = variant_name(spec(source=OWN, inputShapes={"b": 2, "a": 1}), None)

    assert first == second


def test_another_file_is_another_profile() -> None:
    other = OWN | {"sha256": "b" * 64}

    assert variant_name(spec(source=OWN), None) != variant_name(spec(source=other), None)


def test_a_long_name_still_fits_a_label() -> None:
    profile = base("m" * 63)

    name = variant_name(
        InferenceTask.model_validate(make_itask(model="m" * 63, batchSize=65536)).spec, profile
    )

    assert len(name) <= 63


def test_a_variant_has_the_source_of_its_base_and_both_shapes() -> None:
    profile = base(inputShapes={"height": 224, "width": 224})
    wanted = spec(batchSize=4, inputShapes={"height": 512})

    manifest = ModelProfile.model_validate(
        variant_manifest("v", "ns", profile.spec.source, wanted, profile)
    )

    assert manifest.metadata == {"name": "v", "namespace": "ns"}
    assert manifest.spec.source == profile.spec.source
    assert manifest.spec.batch_size == 4
    assert manifest.spec.input_shapes == {"height": 512, "width": 224}
