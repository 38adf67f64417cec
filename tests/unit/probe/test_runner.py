import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput, InvalidModel, Unavailable
from acesniper.probe.runner import MAX_KEPT, Durations, RunSpec, run_model, to_folder
from acesniper.probe.runtimes import RuntimeOptions, runtime
from small_models import linear_model, save

ORT = runtime("onnxruntime")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(linear_model(), tmp_path / "linear.onnx")


def test_the_report_counts_and_times_every_batch(model: Path) -> None:
    report = run_model(
        RunSpec(model, inferences=5, batch=3, device="edge-1"), ORT, RuntimeOptions()
    )

    assert (report.version, report.model, report.device) == (1, "linear.onnx", "edge-1")
    assert report.inferences == 5
    assert report.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert 0 < report.latency_median_s <= report.latency_p90_s < report.total_s
    assert set(json.loads(report.json())) == {
        "version",
        "model",
        "sha256",
        "device",
        "inferences",
        "latency_median_s",
        "latency_p90_s",
        "fetch_s",
        "load_s",
        "total_s",
    }


def test_a_model_with_another_digest_does_not_run(model: Path) -> None:
    with pytest.raises(InvalidModel) as caught:
        run_model(RunSpec(model, sha256="0" * 64), ORT, RuntimeOptions())

    assert caught.value.reason == "DigestMismatch"


def test_outputs_of_given_inputs_are_written(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 8), 0.5, np.float32))
    job = RunSpec(
        model, inferences=2, batch=2, source=tmp_path / "x.npy", outputs=to_folder(tmp_path / "out")
    )

    run_model(job, ORT, RuntimeOptions())

    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == ["batch-000000.npz", "batch-000001.npz"]
    with np.load(written[0]) as content:
        assert content["y"].tolist() == [[4.0] * 4] * 2


def test_a_folder_of_inputs_is_used_in_rotation(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        np.savez(folder / f"{number}.npz", x=np.full((1, 8), number, np.float32))

    run_model(
        RunSpec(model, inferences=3, source=folder, outputs=to_folder(tmp_path / "out")),
        ORT,
        RuntimeOptions(),
    )

    sums = [float(np.load(path)["y"].sum()) for path in sorted((tmp_path / "out").iterdir())]
    assert sums == [0.0, 32.0, 0.0]


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((3, 8), np.float32), "has shape"), (np.asarray([{}]), "cannot read")],
    ids=["shape", "pickle"],
)
def test_an_input_that_does_not_match_is_rejected(
    model: Path, tmp_path: Path, array: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)

    with pytest.raises(InvalidInput, match=message):
        run_model(RunSpec(model, source=tmp_path / "x.npy"), ORT, RuntimeOptions())


def test_sigterm_ends_the_run_after_the_current_batch(model: Path) -> None:
    def stop_at_three(done: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    report = run_model(
        RunSpec(model, inferences=100_000), ORT, RuntimeOptions(), progress=stop_at_three
    )

    assert report.inferences in (3, 4)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_model_that_the_runtime_cannot_load_is_unloadable(tmp_path: Path) -> None:
    broken = linear_model()
    broken.graph.node[0].op_type = "NoSuchOperator"

    with pytest.raises(InvalidModel) as caught:
        run_model(RunSpec(save(broken, tmp_path / "m.onnx")), ORT, RuntimeOptions())

    assert caught.value.reason == "Unloadable"


@pytest.mark.parametrize("count", [1, 10, MAX_KEPT - 1, MAX_KEPT, MAX_KEPT + 1, 5 * MAX_KEPT])
def test_quantiles_cover_all_runs(count: int) -> None:
    durations = Durations()
    for number in range(count):
        durations.add(float(number))

    assert durations.count == count
    for share in (0.5, 0.9):
        assert durations.quantile(share) == pytest.approx(share * (count - 1), rel=1e-3)


def test_memory_for_durations_is_bounded() -> None:
    durations = Durations()
    for _ in range(10 * MAX_KEPT):
        durations.add(1.0)

    assert sys.getsizeof(durations._kept) <= 2 * sys.getsizeof([1.0] * MAX_KEPT)


def test_a_full_volume_is_reported_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(file: object, **arrays: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    write = to_folder(tmp_path / "out")
    write(0, {"y": np.ones(3)})
    monkeypatch.setattr(np, "savez", fill)

    with pytest.raises(Unavailable, match="No space left"):
        write(1, {"y": np.ones(3)})

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["batch-000000.npz"]
