"""Accuracy of predicted latencies on held-out devices and families of networks.

Holds out each platform and each runtime of the atlas, one after the other, with a quarter of the
families, trains without them, and compares the predictions with measurements and simple methods.

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
    """Return the page with its blocks replaced; a block without new text is unchanged."""

    def new(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        return f"{start}{blocks[name]}\n{end}" if name in blocks else match.group()

    return BLOCK.sub(new, text)


def blocks(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures in Markdown, by the name of their block."""
    texts = {
        "summary": summary_line(document["atlas"]),
        "splits": splits(document["splits"]),
        "devices": devices(document),
    }
    if "ablation" in document:
        texts["ablation"] = ablation(document["ablation"])
    return texts


def splits(documents: Mapping[str, Any]) -> str:
    """Return a table of our figures and the mean error of the simple methods, for each split."""
    names = (
        "mean",
        "median",
        "within10",
        "within20",
        "spearman",
        "regret",
        "coverage90",
        "width90",
        "worst_device_mean",
        "worst_device_coverage90",
    )
    simple = [name for name in next(iter(next(iter(documents.values())).values())) if name != OURS]
    head = (
        "split",
        "observed",
        "mean",
        "median",
        "<10 %",
        "<20 %",
        "Spearman",
        "regret",
        "cover",
        "width",
        "worst device",
        "its cover",
        *(f"*{n}*" for n in simple),
    )
    rows = [
        [
            split,
            count,
            *(figure_text(name, methods[OURS]["all"][name]) for name in names),
            *(figure_text("mean", methods[name]["all"]["mean"]) for name in simple),
        ]
        for split, counts in documents.items()
        for count, methods in counts.items()
    ]
    return table(head, rows)


def devices(document: Mapping[str, Any]) -> str:
    """Return a table of mean error and, in brackets, coverage of each platform, by split."""
    by_split = {
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
                for by in by_split.values()
            ),
        ]
        for name, floor in document["atlas"]["floors"].items()
    ]
    return table(("platform", "noise floor", *by_split), rows)


def ablation(parts: Mapping[str, Any]) -> str:
    """Return a table of the mean and the median error of each set of parts."""
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
    """Return a table of the platforms of an atlas."""
    head = (
        "platform",
        "runtime",
        "version",
        "threads",
        "precision",
        "optimised",
        "limited to",
        "networks",
        "measured twice",
        "noise floor, %",
    )
    rows = [
        [
            name,
            platform["runtime"],
            platform["runtime_version"],
            str(platform["threads"]),
            platform["precision"],
            "yes" if platform["optimised"] else "no",
            limits(platform),
            str(platform["networks"]),
            str(platform["measured_twice"]),
            figure_text("floor", platform["noise_floor"] and 100 * platform["noise_floor"]),
        ]
        for name, platform in json.loads(path.read_text(encoding="utf-8")).items()
    ]
    return table(head, rows)


def limits(platform: Mapping[str, Any]) -> str:
    """Return the instruction sets and the CPU quota to which a platform is limited."""
    restrictions = sorted({value.lower() for value in platform["environment"].values()})
    if platform["cpu_quota"]:
        restrictions.append(f"{platform['cpu_quota']:g} cores")
    return ", ".join(restrictions)


def pictures(paths: Iterable[Path], page: Path) -> str:
    """Return the links to the pictures, relative to a page."""
    places = (Path(os.path.relpath(path, page.parent)) for path in paths)
    return "\n\n".join(f"![{TITLES[path.stem]}]({path.as_posix()})" for path in places)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown; all columns but the first are right-aligned."""
    names = list(head)
    rule = ["---", *("---:" for _ in names[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rule, *rows])


def arguments() -> argparse.Namespace:
    """Parse the command line."""
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
    """Measure the errors, print them, and write files."""
    options = arguments()
    started = time.perf_counter()
    done, document = measure_errors(
        options.atlas, options.observations, steps=options.steps, with_ablation=options.ablation
    )
    out().print(report_tables(document, per_device=options.each))
    err().print(f"took {time.perf_counter() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    drawn = []
    if options.plots:
        from acesniper.predictor.pcn.evaluation.plots import write_plots

        drawn = write_plots(done, document, options.plots)
    texts = blocks(document) | {
        "platforms": platforms(atlas_folder(options.atlas) / PLATFORMS_FILE)
    }
    for page in options.docs:
        texts |= {"pictures": pictures(drawn, page)} if drawn else {}
        page.write_text(fill(page.read_text(encoding="utf-8"), texts), encoding="utf-8")


if __name__ == "__main__":
    main()
