"""A busy neighbour: half its time in matrix products, half in copies larger than the caches.

It is a process of its own, so that no lock of the interpreter is shared, and ends with its parent.
"""

import os
import sys
import time
from collections.abc import Callable

READY = "busy"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SIDE = 256
COPY_BYTES = 32 << 20
WORK_S = 0.01


def main() -> None:
    """Work until the parent is gone."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    import numpy as np  # reads the environment when it is loaded

    left, product = np.ones((SIDE, SIDE), np.float32), np.empty((SIDE, SIDE), np.float32)
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    parent = os.getppid()
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        _for_a_turn(lambda: np.matmul(left, left, out=product))
        _for_a_turn(lambda: np.copyto(target, source))


def _for_a_turn(work: Callable[[], object]) -> None:
    end = time.perf_counter() + WORK_S
    while time.perf_counter() < end:
        work()


if __name__ == "__main__":
    main()
