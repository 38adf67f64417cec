"""Put raw measurements together into the shipped atlas: `python atlas/build.py FOLDER`.

FOLDER has the output of measure.py. Of several passes the lowest latency counts; the difference of
two passes is the noise floor of a platform. Writes latencies.parquet and platforms.json into the
predictor. With `--extend TARGET` it writes into TARGET the built-in atlas and every
device NAME of FOLDER that has a NAME-PASS.parquet and a NAME-1.yaml.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pyarrow
import pyarrow.parquet
from platforms import PLATFORMS, Platform

from acesniper.predictor.atlas.latencies import LATENCIES, PLATFORMS_FILE
from acesniper.predictor.atlas.networks import network_index
from acesniper.probe.profiles import read_profile

Row = dict[str, object]


def passes(folder: Path, platform: Platform) -> dict[str, list[Row]]:
    """Return the rows of each shipped network on a platform, one per pass."""
    rows_by_network: defaultdict[str, list[Row]] = defaultdict(list)
    for path in sorted(folder.glob(f"{platform.name}-[0-9].parquet")):
        for row in pyarrow.parquet.read_table(path).to_pylist():
            if row["model"] in network_index():  # skip networks that are not shipped any more
                rows_by_network[str(row["model"])].append(row)
    return rows_by_network


def merged(rows: list[Row]) -> Row:
    """Return the row of the fastest pass, with the spread of the passes."""
    values = [float(str(row["latency_ms"])) for row in rows]
    best = rows[values.index(min(values))]
    spread = max(values) / min(values) - 1 if len(values) > 1 else None
    return {**best, "spread": spread, "passes": len(rows)}


def entry(folder: Path, platform: Platform, rows: list[Row]) -> Row:
    """Return the entry of a platform: its probe, its versions, its noise floor."""
    result = read_profile(folder / f"{platform.name}-1.yaml")
    spreads = [float(str(row["spread"])) for row in rows if row["spread"] is not None]
    return {
        "runtime": platform.runtime,
        "runtime_version": result.runtime_version,
        "threads": platform.threads,
        "precision": platform.precision,
        "optimised": platform.optimise,
        "environment": dict(platform.environment),
        "cpu_quota": platform.quota,
        "cpu_model": result.cpu_model,
        "architecture": result.architecture,
        "measured_at": result.measured_at,
        "noise_floor": round(statistics.median(spreads), 4) if spreads else None,
        "networks": len(rows),
        "measured_twice": len(spreads),
        "suite": result.vector.suite,
        "suite_version": result.vector.version,
        "readings": {
            name: [reading.seconds, reading.spread]
            for name, reading in result.vector.readings.items()
        },
    }


def devices(folder: Path) -> list[Platform]:
    """Return the devices of a folder, configured as in their rows."""
    platforms = []
    for path in sorted(folder.glob("*-1.parquet")):
        row = pyarrow.parquet.read_table(path).slice(0, 1).to_pylist()[0]
        platforms.append(
            Platform(
                path.stem.removesuffix("-1"),
                row["runtime"],
                row["threads"],
                row["precision"],
                row["optimised"],
                {"ONEDNN_MAX_CPU_ISA": row["isa"]} if row["isa"] else {},
                row["cpu_quota"],
            )
        )
    return platforms


def built(folder: Path, selected: Sequence[Platform]) -> tuple[list[Row], dict[str, Row]]:
    """Return the rows of all measured platforms, and the entry of each."""
    table: list[Row] = []
    platforms: dict[str, Row] = {}
    for platform in selected:
        rows_by_network = passes(folder, platform)
        if not rows_by_network or not (folder / f"{platform.name}-1.yaml").exists():
            sys.stderr.write(f"{platform.name}: not measured\n")
            continue
        rows = [merged(passes) for _, passes in sorted(rows_by_network.items())]
        platforms[platform.name] = entry(folder, platform, rows)
        table += [{**row, "device": platform.name} for row in rows]
    return table, platforms


def main() -> None:
    """Build the atlas from a folder."""
    parser = argparse.ArgumentParser(description="Put raw measurements together into an atlas.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--extend", type=Path, metavar="TARGET")
    arguments = parser.parse_args()
    shipped = Path(str(files("acesniper.predictor.atlas")))
    target = arguments.extend or shipped
    if arguments.extend:
        table, platforms = built(arguments.folder, devices(arguments.folder))
        shipped_platforms = json.loads((shipped / PLATFORMS_FILE).read_text())
        shipped_rows = pyarrow.parquet.read_table(shipped / LATENCIES).to_pylist()
        table = [row for row in shipped_rows if row["device"] not in platforms] + table
        platforms = shipped_platforms | platforms
    else:
        table, platforms = built(arguments.folder, PLATFORMS)
    target.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(table), target / LATENCIES, compression="zstd"
    )
    (target / PLATFORMS_FILE).write_text(json.dumps(platforms, indent=1) + "\n")


if __name__ == "__main__":
    main()
