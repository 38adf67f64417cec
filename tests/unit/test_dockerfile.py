"""Properties of the images that the Dockerfile determines."""

import re
import tomllib
from pathlib import Path

import pytest

from acesniper.testbed.images import PARTS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = {
    stage.split()[2]: stage.splitlines()
    for stage in re.findall(
        r"^FROM (\S+ AS \w+\n(?:(?!^FROM ).*\n)*)", DOCKERFILE, flags=re.MULTILINE
    )
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_as_a_numeric_user_and_starts_its_program(part: str) -> None:
    stage = STAGES[part]

    assert "USER 65532:65532" in stage
    assert [line for line in stage if line][-1].startswith('ENTRYPOINT ["')
    assert any(f'image.title="Ace-Sniper {part}"' in line for line in stage)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_its_program_under_its_user(part: str) -> None:
    stage = STAGES[part]

    imports = [number for number, line in enumerate(stage) if 'python3 -c "import' in line]
    assert imports
    assert imports[0] > stage.index("USER 65532:65532")


def test_packages_are_installed_from_locked_requirements_only() -> None:
    installed = re.findall(r"install-packages -r /requirements/(\w+)\.txt", DOCKERFILE)

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert set(installed) == {"serving", "runner", "extender", "probe", "operator"}
    assert set(installed) <= extras.keys()
    for name in installed:
        assert "--hash=sha256:" in (ROOT / f"requirements/{name}.txt").read_text()


@pytest.mark.parametrize("name", ["serving", "runner", "extender", "probe", "operator"])
def test_no_image_contains_training_packages(name: str) -> None:
    packages = re.findall(r"^([\w-]+)==", (ROOT / f"requirements/{name}.txt").read_text(), re.M)

    assert not {"torch", "matplotlib", "pyarrow", "openvino"} & set(packages)


def test_exactly_the_parts_of_the_wheel_are_copied_into_the_build() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]

    copied = re.findall(r"^COPY (\w+) /src/\w+", DOCKERFILE, re.MULTILINE)
    assert [f"{part}/acesniper" for part in copied] == hatch["targets"]["wheel"]["packages"]
    included = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{part}" for part in copied} <= set(included)
