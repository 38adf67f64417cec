"""Measure the platforms of the atlas: `python atlas/measure.py FOLDER [--only NAME ...]`.

Each platform is probed (PLATFORM.yaml) and runs every network of the atlas (PLATFORM-PASS.parquet);
existing files are not measured again. Needs a quiet machine, the extra `atlas`, and for
onnxruntime-web ACESNIPER_NODE_PACKAGES. `--core` pins platforms with one thread.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from platforms import PLATFORMS, Platform

from acesniper.predictor.atlas.networks import unpack

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "devices"))
from limiter import run_limited

ACESNIPER = [sys.executable, "-m", "acesniper.cli"]


def run(platform: Platform, command: list[str], core: str | None) -> None:
    """Run a command under the limits of a platform."""
    pinned = ["taskset", "-c", core] if core and platform.threads == 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(platform.threads), **platform.environment}
    run_limited([*pinned, *command], environment, platform.quota, platform.threads)


def chosen(folder: Path, sample: int) -> list[str]:
    """Return arguments of `acesniper collect`: the whole atlas, or some of its networks."""
    if sample == 1:
        return ["--atlas"]
    folder.mkdir(parents=True, exist_ok=True)
    return [str(path) for path in sorted(unpack(folder).glob("*.onnx"))[::sample]]


def main() -> None:
    """Measure all platforms, or those named."""
    parser = argparse.ArgumentParser(description="Measure the platforms of the atlas.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--core", help="for platforms with one thread")
    parser.add_argument("--number", type=int, default=1, help="the number of this pass")
    parser.add_argument("--sample", type=int, default=1, help="measure every N-th network only")
    parser.add_argument("--what", choices=("networks", "probes", "all"), default="all")
    arguments = parser.parse_args()
    networks = chosen(arguments.folder / "networks", arguments.sample)
    for platform in [p for p in PLATFORMS if not arguments.only or p.name in arguments.only]:
        start = time.monotonic()
        table = arguments.folder / f"{platform.name}-{arguments.number}.parquet"
        profile = arguments.folder / f"{platform.name}-{arguments.number}.yaml"
        named = ["--device", platform.name, "--output", str(table), "--passes", "1"]
        reference = ["--reference", str(arguments.folder / "reference")]
        collect = [*ACESNIPER, "collect", *networks, *platform.options(), *named, *reference]
        shown = ["--node", platform.name, "--name", platform.name, "-o", "yaml"]
        probe = [*ACESNIPER, "probe", *platform.options(), *shown, "--file", str(profile)]
        try:
            if arguments.what != "probes" and not table.exists():
                run(platform, collect, arguments.core)
            if arguments.what != "networks" and not profile.exists():
                run(platform, probe, arguments.core)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{platform.name}: ended with {error.returncode}\n")
            continue
        sys.stderr.write(f"{platform.name}: {time.monotonic() - start:.0f} s\n")


if __name__ == "__main__":
    main()
