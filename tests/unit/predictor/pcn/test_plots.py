from pathlib import Path

from acesniper.predictor.pcn.dataset import atlas_dataset
from acesniper.predictor.pcn.evaluation.plots import write_plots
from acesniper.predictor.pcn.evaluation.report import report, run_trial
from acesniper.predictor.pcn.train import TrainingSettings
from atlas_folder import PLATFORMS, write_atlas


def test_three_small_plots_have_titles(tmp_path: Path) -> None:
    done = run_trial(
        atlas_dataset(write_atlas(tmp_path)), TrainingSettings(steps=2), observations=0
    )

    paths = write_plots(done, report(done), tmp_path / "pictures")

    assert [path.name for path in paths] == ["predicted.png", "families.svg", "intervals.svg"]
    assert all(0 < path.stat().st_size < 200_000 for path in paths)
    assert all(name in paths[2].read_text() for name in PLATFORMS)
    assert "resnet" in paths[1].read_text()
