import csv
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from acesniper.cli.__main__ import main
from acesniper.cli.commands import COMMANDS, format_help, sections
from small_models import MODELS, linear_model, save

HEAVY = ("kopf", "torch", "fastapi", "kubernetes", "aiohttp")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(linear_model(), tmp_path / "linear.onnx")


def test_help_lists_every_command_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0

    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name, "--help") == 0

    assert COMMANDS[name].summary.split()[0] in capsys.readouterr().out


def test_the_help_wraps_text_and_keeps_the_lines_of_examples() -> None:
    text = """Show it.

    Some words that were
    broken in the source.

    Example:
      acesniper top
    """

    formatted = format_help(text)

    assert formatted.split("\n\n")[1:] == [
        "Some words that were broken in the source.",
        "\b\nExample:\n  acesniper top",
    ]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0

    assert capsys.readouterr().out.strip() == version("acesniper")


def test_every_command_is_in_one_section() -> None:
    listed = [name for names in sections().values() for name in names]

    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "completed"), [("acesniper do", "doctor"), ("acesniper top --wa", "--watch")]
)
def test_a_shell_completes_commands_and_their_options(typed: str, completed: str) -> None:
    asked = {"_ACESNIPER_COMPLETE": "complete_bash", "COMP_WORDS": typed}

    done = subprocess.run(
        [Path(sys.executable).parent / "acesniper"],
        env={**os.environ, **asked, "COMP_CWORD": str(typed.count(" "))},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [completed]


@pytest.mark.parametrize("name", ["run", "probe", "collect", "model"])
def test_a_device_loads_nothing_of_the_control_plane(name: str) -> None:
    script = (
        "import sys\n"
        "from acesniper.cli.commands import application\n"
        f"application([{name!r}])\n"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stderr.strip() == ""


def test_running_a_model_loads_nothing_of_the_control_plane(model: Path) -> None:
    script = (
        "import sys\n"
        "from acesniper.cli.__main__ import main\n"
        "try:\n"
        f"    main(['run', {str(model)!r}])\n"
        "except SystemExit:\n"
        "    pass\n"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stderr.strip() == ""
    assert json.loads(done.stdout)["inferences"] == 1


def test_run_reports_to_output_and_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "termination-log"

    code = call("run", str(model), "-n", "3", "--report", str(report), "--device", "edge-1")

    assert code == 0
    assert json.loads(report.read_text()) == json.loads(capsys.readouterr().out)
    assert json.loads(report.read_text())["device"] == "edge-1"


def test_a_bad_model_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.onnx").write_bytes(b"a picture of a cat")

    code = call("model", "profile", str(tmp_path / "cat.onnx"))

    shown = capsys.readouterr().err
    assert code == 2
    assert shown.startswith("error (NotOnnx): cat.onnx")
    assert len(shown.splitlines()) == 1


def test_an_invalid_shape_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("model", "profile", str(model), "--shape", "length") == 2
    assert "NAME=SIZE" in capsys.readouterr().err


def test_a_profile_of_a_model_as_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("model", "profile", str(model), "--batch", "16", "--json") == 0

    assert json.loads(capsys.readouterr().out)["flops"] == 2 * 16 * 8 * 4


def test_the_profile_of_a_model_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("model", "profile", str(MODELS / "squeezenet1_1.onnx")) == 0

    shown = capsys.readouterr().out
    assert "698 MFLOP" in shown
    assert "conv1x1_wide" in shown


def test_collect_writes_the_table(model: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"

    code = call(
        "collect",
        str(model),
        "--output",
        str(table),
        "--device",
        "edge-1",
        "--quick",
        "--threads",
        "1",
        "--batch",
        "1",
        "--batch",
        "4",
    )

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert code == 0
    assert [(row["device"], row["model"], row["batch"]) for row in rows] == [
        ("edge-1", "linear", "1"),
        ("edge-1", "linear", "4"),
    ]


def test_collect_reads_a_folder_and_reports_models_that_fail(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    table = tmp_path / "table.csv"

    code = call("collect", str(tmp_path), "--output", str(table), "--quick", "--threads", "1")

    assert code == 0
    assert table.read_text().count("linear") == 1
    assert "broken: NotOnnx" in capsys.readouterr().err


def test_collect_fails_if_no_model_can_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")

    assert call("collect", str(broken), "--quick", "--threads", "1") == 2

    assert "no model could be measured" in capsys.readouterr().err


def test_predict_names_a_missing_profile(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("predict", str(model), "--device", "missing/edge-1.yaml") == 2
    assert "missing/edge-1.yaml: the file does not exist" in capsys.readouterr().err
