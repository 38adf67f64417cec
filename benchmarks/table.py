"""Time and memory of the trained network's predictions for a whole fleet.

Predicts 1,000 models on 5,000 devices at once, then one more model on all of them and all models on
one more device, in a separate process on one core. Times are compared with a product of
matrices (1,000 x 256 x 5,000, 32 bit) on the same core in the same run. Vectors are synthetic:
their cost is that of real ones, and their own memory is reported separately.

    python benchmarks/table.py [--network FILE] [--models 1000] [--devices 5000] [--json FILE]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPEATS = 15
MIB = 1024.0


def memory_mib(name: str) -> float:
    """Return VmRSS or VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / MIB
    raise LookupError(name)


def best_s(run: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Return the least and the median seconds of several runs."""
    times_s = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times_s.append(time.perf_counter() - start)
    return min(times_s), statistics.median(times_s)


def measure(network: Path, models: int, devices: int) -> dict[str, float]:
    """Measure in this process, which must be new: memory counts from its start."""
    import numpy as np

    from acesniper.domain.device import HardwareVector, Reading
    from acesniper.domain.model import ModelFeatures
    from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION
    from acesniper.predictor.pcn.serve import PcnPredictor
    from acesniper.predictor.probe_matrix import known_suite

    source, suite = random.Random(0), known_suite()  # noqa: S311

    def vector() -> HardwareVector:
        readings = {
            name: Reading(typical * source.lognormvariate(0.0, 0.3), 0.01)
            for name, typical in zip(suite.probes, suite.typical_s.tolist(), strict=True)
        }
        return HardwareVector(suite.name, suite.version, readings)

    def features() -> ModelFeatures:
        values = {
            name: float(source.randint(0, 20))
            if name.endswith(".nodes")
            else source.lognormvariate(12.0, 2.0)
            for name in FEATURE_NAMES
        }
        return ModelFeatures(FEATURES_VERSION, values, 0.0, 0.0, 0, 0, {"Conv": 50}, {})

    empty = memory_mib("VmRSS")
    fleet, library = [vector() for _ in range(devices)], [features() for _ in range(models)]
    inputs = memory_mib("VmRSS") - empty
    predictor = PcnPredictor.load(network)
    loaded = memory_mib("VmRSS")
    start = time.perf_counter()
    table = predictor.table(library, fleet)
    first_s = time.perf_counter() - start
    peak = memory_mib("VmHWM")
    again_s = best_s(lambda: predictor.table(library, fleet), 3)[0]
    row_s, row_median_s = best_s(lambda: predictor.table([features()], fleet))
    column_s, _ = best_s(lambda: predictor.table(library, [vector()]))
    left = np.full((models, 256), 0.5, np.float32)
    right = np.full((256, devices), 0.5, np.float32)
    product_s = best_s(lambda: left @ right)[0]
    return {
        "table_s": first_s,
        "table_again_s": again_s,
        "row_s": row_s,
        "row_median_s": row_median_s,
        "column_s": column_s,
        "product_s": product_s,
        "table_over_product": first_s / product_s,
        "pairs_per_s": table.latency.size / again_s,
        "peak_mib": peak,
        "vectors_mib": inputs,
        "serving_mib": peak - inputs,
        "loaded_mib": loaded - inputs,
        "unknown_pairs": float(np.isnan(table.latency).sum()),
    }


def main() -> None:
    """Measure in a child on one core, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    shipped = "predictor/acesniper/predictor/pcn/pcn.onnx"
    parser.add_argument("--network", type=Path, default=Path(__file__).parents[1] / shipped)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.network, arguments.models, arguments.devices)))
        return
    core = min(os.sched_getaffinity(0))
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, "--child", *sys.argv[1:]],
        env=os.environ | single,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        stdout=subprocess.PIPE,
        check=True,
    )
    figures = json.loads(done.stdout)
    for name, value in figures.items():
        print(f"{name:20} {value:12.4g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
