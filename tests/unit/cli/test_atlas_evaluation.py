import json
import runpy
from pathlib import Path

import pytest

from acesniper.cli.atlas_evaluation import evaluate_atlas
from acesniper.predictor.atlas.latencies import PLATFORMS_FILE
from atlas_folder import PLATFORMS, write_atlas

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "atlas.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas, and the document of its evaluation in out.json."""
    folder = write_atlas(tmp_path_factory.mktemp("atlas"))
    evaluate_atlas(folder, 1, folder / "out.json", steps=2, per_device=True, with_ablation=True)
    return folder


def test_the_figures_are_printed_for_every_split_and_device(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_atlas(folder, 0, steps=2, per_device=True)

    printed = capsys.readouterr().out
    for expected in ("new runtime, 0 observed, by device", "of 12 networks", "FLOPs", *PLATFORMS):
        assert expected in printed


def test_the_figures_are_written(folder: Path) -> None:
    document = json.loads((folder / "out.json").read_text())

    assert document["splits"]["new device"]["1"]["PCN"]["all"]["mean"] > 0
    assert set(document["ablation"]["physics"]) == {"new device", "new runtime"}


def test_a_page_gets_the_figures_and_keeps_the_rest(folder: Path) -> None:
    benchmark = runpy.run_path(str(BENCHMARK))
    blocks = benchmark["blocks"](json.loads((folder / "out.json").read_text()))
    page = "before\n<!-- figures splits -->\nold\n<!-- /figures -->\nafter\n"

    filled = benchmark["fill"](page, blocks)

    assert filled.startswith("before\n<!-- figures splits -->\n| split |")
    assert filled.endswith("\n<!-- /figures -->\nafter\n")
    assert "old" not in filled
    assert benchmark["fill"](filled, blocks) == filled
    assert benchmark["fill"](page, {}) == page


def test_every_platform_is_in_the_tables_of_pages(folder: Path) -> None:
    benchmark = runpy.run_path(str(BENCHMARK))
    document = json.loads((folder / "out.json").read_text())

    devices = benchmark["blocks"](document)["devices"]
    platforms = benchmark["platforms"](folder / PLATFORMS_FILE)

    for name in PLATFORMS:
        assert f"| {name} |" in devices
        assert f"| {name} |" in platforms
    assert "avx2, 0.5 cores" in platforms
