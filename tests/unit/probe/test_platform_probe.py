from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput, InvalidModel
from acesniper.probe.feeds import random_feeds
from acesniper.probe.measure import ProbeEffort
from acesniper.probe.platform_facts import facts
from acesniper.probe.platform_probe import probe
from acesniper.probe.profiles import profile_text, read_profile
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions, Session, runtime
from acesniper.probe.suite import FILE_READ, LOAD, MEMORY, PROBES, SUITE, VERSION, ProbePlan

TINY = ProbeEffort(rounds=1, item_s=0.0, extra_rounds=0, meter_s=0.0, heat_s=0.0, neighbour_s=0.0)
FEW = {name: PROBES[name] for name in ("null", "dispatch", "gemv", "norm")}
SMALL = ProbePlan(probes=FEW, memory_bytes=4 << 20, load_bytes=4 << 20, file_bytes=4 << 20)


class Picky:
    """onnxruntime without one of its kernels."""

    name, version, provider = "picky", "1", "cpu"

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner

    def load(self, model: bytes, options: RuntimeOptions) -> Session:
        if b"Sqrt" in model:
            raise InvalidModel("Unloadable", "no such kernel")
        return self._inner.load(model, options)


class Lazy:
    """onnxruntime with a kernel that returns immediately."""

    name, version, provider = "lazy", "1", "cpu"

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner

    def load(self, model: bytes, options: RuntimeOptions) -> Session:
        session = self._inner.load(model, options)
        return Idle(session.inputs) if b"gemv" in model else session


class Idle:
    """A loaded model that computes nothing."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        return {"y": np.zeros((1, 512), np.float32)}


def test_a_probe_run_has_all_readings_and_platform_facts() -> None:
    result = probe(runtime("onnxruntime"), RuntimeOptions(), plan=SMALL, effort=TINY)

    assert (result.vector.suite, result.vector.version) == (SUITE, VERSION)
    assert set(result.vector.readings) == {*FEW, MEMORY, LOAD, FILE_READ}
    assert all(reading.seconds > 0 for reading in result.vector.readings.values())
    assert result.missing == ()
    assert result.runtime == "onnxruntime"
    assert result.threads == 1


def test_a_probe_that_cannot_run_is_listed_as_missing() -> None:
    result = probe(Picky(runtime("onnxruntime")), RuntimeOptions(), plan=SMALL, effort=TINY)

    assert "norm" not in result.vector.readings
    assert result.missing == ("norm",)


def test_a_kernel_that_computes_wrongly_has_no_reading() -> None:
    result = probe(Lazy(runtime("onnxruntime")), RuntimeOptions(), plan=SMALL, effort=TINY)

    assert result.missing == ("gemv",)


def test_only_heavy_probes_are_run_again_under_load() -> None:
    result = probe(
        runtime("onnxruntime"),
        RuntimeOptions(),
        plan=replace(SMALL, heavy=("gemv", "conv_wide_64")),
        effort=replace(TINY, heat_s=0.01, neighbour_s=0.01),
        platform=replace(facts(), cores=2, cpu_quota=None),
    )

    gemv, norm = (result.vector.readings[name] for name in ("gemv", "norm"))
    assert gemv.sustained_s is not None
    assert gemv.loaded_s is not None
    assert (norm.sustained_s, norm.loaded_s) == (None, None)


@pytest.mark.parametrize(
    ("cores", "quota"), [(1, None), (2, 0.5)], ids=["one core", "one quota for both"]
)
def test_without_a_second_core_there_is_no_contended_reading(
    cores: int, quota: float | None
) -> None:
    result = probe(
        runtime("onnxruntime"),
        RuntimeOptions(),
        plan=replace(SMALL, heavy=("gemv",)),
        effort=replace(TINY, neighbour_s=0.01),
        platform=replace(facts(), cores=cores, cpu_quota=quota),
    )

    assert result.vector.readings["gemv"].loaded_s is None


def test_a_full_disk_has_no_file_reading() -> None:
    plan = replace(SMALL, folder=Path("/proc"))

    result = probe(runtime("onnxruntime"), RuntimeOptions(), plan=plan, effort=TINY)

    assert result.missing == (FILE_READ,)


def test_a_quota_below_the_threads_is_recorded() -> None:
    result = probe(runtime("onnxruntime"), RuntimeOptions(), plan=SMALL, effort=TINY, cpu_quota=0.5)

    assert result.cpu_quota == 0.5


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_profile_survives_a_round_trip_through_a_file(tmp_path: Path, form: str) -> None:
    result = probe(runtime("onnxruntime"), RuntimeOptions(), plan=SMALL, effort=TINY)
    path = tmp_path / "device"

    path.write_text(profile_text("edge-1-cpu", "edge-1", result, form))

    assert read_profile(path).vector.readings.keys() == result.vector.readings.keys()
    assert read_profile(path).cpu_model == result.cpu_model


@pytest.mark.parametrize(
    "text",
    ["[", "kind: Pod", "kind: DeviceProfile", "\x00"],
    ids=["broken", "another kind", "no measurement", "binary"],
)
def test_a_file_without_a_profile_is_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "device.yaml"
    path.write_text(text)

    with pytest.raises(InvalidInput, match=r"device\.yaml"):
        read_profile(path)


def test_the_error_for_an_unknown_runtime_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="onnxruntime, openvino, tract"):
        runtime("caffe")


def test_random_input_has_no_denormals() -> None:
    session = runtime("onnxruntime").load(
        PROBES["gemv"].build().SerializeToString(), RuntimeOptions()
    )

    (values,) = random_feeds(session.inputs).values()

    assert values.min() >= 0.1
    assert np.isfinite(next(iter(session.run({"x": values}).values()))).all()
