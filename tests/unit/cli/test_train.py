import json
from pathlib import Path

from typer.testing import CliRunner

from acesniper.cli.commands import application
from acesniper.cli.train import EXIT_NOT_BETTER
from acesniper.predictor.pcn.serve import SHIPPED_FILE
from builders import make_device_profile


def train(*arguments: str | Path) -> tuple[int, str]:
    argv = ["train", *map(str, arguments)]
    done = CliRunner().invoke(application(argv), argv)
    return done.exit_code, done.output


def test_too_few_observations_leave_the_network_unchanged(tmp_path: Path) -> None:
    profiles, verdict = tmp_path / "profiles.json", tmp_path / "verdict.json"
    profiles.write_text(json.dumps({"items": [make_device_profile()]}))
    target = tmp_path / "pcn.onnx"

    code, output = train(
        "--from",
        "observations",
        "--profiles",
        profiles,
        "--baseline",
        SHIPPED_FILE,
        "--json",
        verdict,
        "--output",
        target,
    )

    result = json.loads(verdict.read_text())
    assert code == EXIT_NOT_BETTER, output
    assert (result["verdict"], result["held_out"], result["runs"]) == ("too little", 0, 0)
    assert result["digest"] is None
    assert not target.exists()


def test_an_invalid_profiles_file_is_named(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.json"
    profiles.write_text("[")

    argv = ["train", "--from", "observations", "--profiles", str(profiles), "-o", "x"]
    done = CliRunner().invoke(application(argv), argv)

    assert done.exit_code != 0
    assert str(profiles) in str(done.exception)
