"""Put raw measurements together into the shipped atlas: `python atlas/build.py FOLDER`.

FOLDER holds what measure.py wrote. Of several passes the lowest latency counts; how much two passes
differ is the noise floor of a platform. Writes latencies.parquet and platforms.json into the
predictor.
"""

import json
import statistics
import sys
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import pyarrow
import pyarrow.parquet
from platforms import PLATFORMS, Platform

from acesniper.predictor.atlas.measured import LATENCIES, PLATFORMS_FILE
from acesniper.predictor.atlas.networks import index
from acesniper.probe.profiles import read_profile

Row = dict[str, object]


def passes(folder: Path, platform: Platform) -> dict[str, list[Row]]:
    """The rows of each network on a platform, one for each pass."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for path in sorted(folder.glob(f"{platform.name}-[0-9].parquet")):
        for row in pyarrow.parquet.read_table(path).to_pylist():
            if row["model"] in index():  # a network that was withdrawn since stays out
                found[str(row["model"])].append(row)
    return found


def merged(rows: list[Row]) -> Row:
    """The row of the lowest pass, with how passes differ."""
    values = [float(str(row["latency_ms"])) for row in rows]
    best = rows[values.index(min(values))]
    spread = max(values) / min(values) - 1 if len(values) > 1 else None
    return {**best, "spread": spread, "passes": len(rows)}


def entry(folder: Path, platform: Platform, rows: list[Row]) -> Row:
    """What the atlas says of a platform: its probe, its versions, its noise floor."""
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
            name: [each.seconds, each.spread] for name, each in result.vector.readings.items()
        },
    }


def main() -> None:
    """Build from the folder given."""
    folder = Path(sys.argv[1])
    table: list[Row] = []
    platforms: dict[str, Row] = {}
    for platform in PLATFORMS:
        found = passes(folder, platform)
        if not found or not (folder / f"{platform.name}-1.yaml").exists():
            sys.stderr.write(f"{platform.name}: not measured\n")
            continue
        rows = [merged(each) for _, each in sorted(found.items())]
        platforms[platform.name] = entry(folder, platform, rows)
        table += rows
    target = Path(str(files("acesniper.predictor.atlas")))
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(table), target / LATENCIES, compression="zstd"
    )
    (target / PLATFORMS_FILE).write_text(json.dumps(platforms, indent=1) + "\n")


if __name__ == "__main__":
    main()
