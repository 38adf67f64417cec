"""How well latencies are predicted on devices and families of networks that were never shown.

Hides each platform and each runtime of the atlas in turn, with a quarter of the families, trains
without them, and compares the predictions with measurements and simple methods.

    python benchmarks/atlas.py [--atlas FOLDER] [--observations K] [--ablation] [--each]
        [--json FILE] [--plots FOLDER] [--docs FILE ...]

--docs writes the figures into pages, between `<!-- figures NAME -->` and `<!-- /figures -->`.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from acesniper.cli.atlas_evaluation import (
    STEPS,
    figure_text,
    measure_errors,
    report_tables,
    summary_line,
)
from acesniper.cli.console import err, out
from acesniper.predictor.atlas.latencies import PLATFORMS_FILE, atlas_folder

OURS = "PCN"
TITLES = {
    "predicted": "Predicted against measured latency; the band is 20 % around equality",
    "families": "Mean error of each hidden family on new devices",
    "intervals": "Coverage and width of 90 % intervals on each platform",
}
BLOCK = re.compile(r"(<!-- figures (\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """The page with each of the blocks in its place; a place without one stays as it is."""

    def new(found: re.Match[str]) -> str:
        start, name, end = found.groups()
        return f"{start}{blocks[name]}\n{end}" if name in blocks else found.group()

    return BLOCK.sub(new, text)


def blocks(document: Mapping[str, Any]) -> dict[str, str]:
    """The figures in Markdown, by the name of their place."""
    found = {
        "summary": summary_line(document["atlas"]),
        "splits": splits(document["splits"]),
        "devices": devices(document),
    }
    if "ablation" in document:
        found["ablation"] = ablation(document["ablation"])
    return found


def splits(documents: Mapping[str, Any]) -> str:
    """Our figures, and the mean error of the simple methods, for each split and observation."""
    names = (
        *("mean", "median", "within10", "within20", "spearman", "regret", "coverage90", "width90"),
        *("worst_device_mean", "worst_device_coverage90"),
    )
    simple = [name for name in next(iter(next(iter(documents.values())).values())) if name != OURS]
    head = (
        *("split", "observed", "mean", "median", "<10 %", "<20 %", "Spearman"),
        *("regret", "cover", "width", "worst device", "its cover", *(f"*{n}*" for n in simple)),
    )
    rows = [
        [
            *(split, count),
            *(figure_text(name, methods[OURS]["all"][name]) for name in names),
            *(figure_text("mean", methods[name]["all"]["mean"]) for name in simple),
        ]
        for split, counts in documents.items()
        for count, methods in counts.items()
    ]
    return table(head, rows)


def devices(document: Mapping[str, Any]) -> str:
    """Mean error, and coverage in brackets, of each platform: from the probe alone where it can."""
    found = {
        split: next(iter(counts.values()))[OURS]["devices"]
        for split, counts in document["splits"].items()
    }
    rows = [
        [
            name,
            figure_text("floor", floor),
            *(
                f"{figure_text('mean', by[name]['mean'])}"
                f" ({figure_text('cover', by[name]['coverage90'])})"
                for by in found.values()
            ),
        ]
        for name, floor in document["atlas"]["floors"].items()
    ]
    return table(("platform", "noise floor", *found), rows)


def ablation(parts: Mapping[str, Any]) -> str:
    """The mean error and its median of each set of parts."""
    first = next(iter(parts.values()))
    places = [(split, count) for split, counts in first.items() for count in counts]
    head = ("parts", *(f"{split}, {count} observed" for split, count in places))
    rows = [
        [
            name,
            *(
                " / ".join(figure_text(key, cells[split][count][key]) for key in ("mean", "median"))
                for split, count in places
            ),
        ]
        for name, cells in parts.items()
    ]
    return table(head, rows)


def platforms(path: Path) -> str:
    """The platforms of an atlas."""
    head = (
        *("platform", "runtime", "version", "threads", "precision", "optimised", "limited to"),
        *("networks", "measured twice", "noise floor, %"),
    )
    rows = [
        [
            *(name, platform["runtime"], platform["runtime_version"], str(platform["threads"])),
            *(platform["precision"], "yes" if platform["optimised"] else "no", limits(platform)),
            *(str(platform["networks"]), str(platform["measured_twice"])),
            figure_text("floor", platform["noise_floor"] and 100 * platform["noise_floor"]),
        ]
        for name, platform in json.loads(path.read_text(encoding="utf-8")).items()
    ]
    return table(head, rows)


def limits(platform: Mapping[str, Any]) -> str:
    """What a platform may not use of the machine."""
    found = sorted({value.lower() for value in platform["environment"].values()})
    if platform["cpu_quota"]:
        found.append(f"{platform['cpu_quota']:g} cores")
    return ", ".join(found)


def pictures(paths: Iterable[Path], page: Path) -> str:
    """The pictures, as a page refers to them."""
    places = (Path(os.path.relpath(path, page.parent)) for path in paths)
    return "\n\n".join(f"![{TITLES[path.stem]}]({path.as_posix()})" for path in places)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; all but the first column are set to the right."""
    names = list(head)
    rule = ["---", *("---:" for _ in names[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rule, *rows])


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--atlas", type=Path, help="default: the shipped one")
    parser.add_argument("--observations", type=int, default=20, help="the end of the curve")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training")
    parser.add_argument("--ablation", action="store_true", help="takes four times as long")
    parser.add_argument("--each", action="store_true", help="print every device")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    parser.add_argument("--docs", type=Path, nargs="+", default=[], metavar="FILE")
    return parser.parse_args()


def main() -> None:
    """Judge, print, write."""
    asked = arguments()
    started = time.perf_counter()
    done, document = measure_errors(
        asked.atlas, asked.observations, steps=asked.steps, with_ablation=asked.ablation
    )
    out().print(report_tables(document, per_device=asked.each))
    err().print(f"took {time.perf_counter() - started:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    drawn = []
    if asked.plots:
        from acesniper.predictor.pcn.evaluation.plots import write_plots

        drawn = write_plots(done, document, asked.plots)
    found = blocks(document) | {"platforms": platforms(atlas_folder(asked.atlas) / PLATFORMS_FILE)}
    for page in asked.docs:
        found |= {"pictures": pictures(drawn, page)} if drawn else {}
        page.write_text(fill(page.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
