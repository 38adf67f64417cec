from pathlib import Path

import numpy as np
import onnx
import pytest

from acesniper.probe import suite
from acesniper.probe.runtimes import RuntimeOptions, runtime
from acesniper.probe.suite import LOAD_BYTES, copy_memory, load_model, load_test_model, read_file


def test_the_model_to_load_has_the_weights_it_is_said_to_have() -> None:
    model = load_test_model()

    onnx.checker.check_model(model, full_check=True)
    weights = [onnx.numpy_helper.to_array(each) for each in model.graph.initializer]
    matrices = [each for each in weights if each.ndim > 1]
    assert sum(each.nbytes for each in matrices) == LOAD_BYTES
    assert len(np.unique(np.concatenate(matrices))) > 1e6


def test_a_load_can_be_run_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "LOAD_BYTES", 4 << 20)
    loaded = []

    class Counting:
        name, version, provider = "counting", "1", "cpu"

        def load(self, model: bytes, options: RuntimeOptions) -> object:
            loaded.append(len(model))
            return runtime("onnxruntime").load(model, options)

    run = load_model(Counting(), RuntimeOptions())  # type: ignore[arg-type]
    run()

    assert len(loaded) == 2
    assert loaded[0] > 4 << 20


def test_the_copy_reads_and_writes_what_it_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "MEMORY_BYTES", 1 << 10)
    copied: list[int] = []

    def copyto(target: np.ndarray, source: np.ndarray) -> None:
        copied.append(target.nbytes + source.nbytes)

    monkeypatch.setattr(np, "copyto", copyto)

    copy_memory()()

    assert copied == [1 << 10]


def test_a_file_is_read_and_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(suite, "FILE_BYTES", 3 << 20)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    found = read_file()

    assert found is not None
    assert found.seconds > 0
    assert list(tmp_path.iterdir()) == []
