"""Runner of a task's pod: runs a model over batches and reports latencies.

Outputs go to a folder or a bucket, one .npz file per batch, each written completely or not at all.
"""

import io
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.probe.feeds import file_feeds, random_feeds
from acesniper.probe.model_file import bound_model, verify
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.runtime.artifacts import Bucket

REPORT_VERSION = 1

MAX_KEPT = 1 << 16
"""Durations kept for the quantiles, an even number; more would not make them more precise."""

Outputs = Callable[[int, Mapping[str, np.ndarray]], None]
"""Writes the arrays of a batch, numbered from 0; writing a batch again replaces it."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What to run.

    `source` is a .npy or .npz file, or a folder of them used in rotation; None for random input.
    `verified` says that the model's digest was checked during the download, which took `fetch_s`.
    """

    model: Path
    _: KW_ONLY
    inferences: int = 1
    batch: int = 1
    shapes: Mapping[str, int] = field(default_factory=dict)
    sha256: str | None = None
    source: Path | None = None
    outputs: Outputs | None = None
    device: str = ""
    fetch_s: float = 0.0
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Result of a run; `inferences` counts the finished batches."""

    version: int
    model: str
    sha256: str
    device: str
    inferences: int
    latency_median_s: float
    latency_p90_s: float
    fetch_s: float
    load_s: float
    total_s: float

    def json(self) -> str:
        """One line for standard output and the termination message."""
        return json.dumps(asdict(self))


def run_model(
    spec: RunSpec,
    runtime: Runtime,
    options: RuntimeOptions,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> RunReport:
    """Run every batch; `progress` receives the number of finished batches, 0 before the first.

    On SIGTERM the current batch is finished and the report covers the batches so far. Raises
    InvalidModel and InvalidInput before anything runs.
    """
    if spec.inferences < 1:
        raise InvalidInput(f"inferences must be 1 or more, not {spec.inferences}")
    start = time.perf_counter()
    verified_digest = spec.sha256 if spec.verified else None
    digest = verified_digest or verify(spec.model, spec.sha256)
    session = runtime.load(bound_model(spec.model, spec.batch, spec.shapes), options)
    feeds = _feeds_of(spec.source, session.inputs)
    load_s = time.perf_counter() - start
    durations = Durations()
    with _sigterm_flag() as terminating:
        progress(0)
        for number in range(spec.inferences):
            begin = time.perf_counter()
            arrays = session.run(feeds[number % len(feeds)])
            durations.add(time.perf_counter() - begin)
            if spec.outputs is not None:
                spec.outputs(number, arrays)
            progress(number + 1)
            if terminating():
                break
    return RunReport(
        version=REPORT_VERSION,
        model=spec.model.name,
        sha256=digest,
        device=spec.device,
        inferences=durations.count,
        latency_median_s=round(durations.quantile(0.5), 9),
        latency_p90_s=round(durations.quantile(0.9), 9),
        fetch_s=round(spec.fetch_s, 6),
        load_s=round(load_s, 6),
        total_s=round(time.perf_counter() - start, 6),
    )


def _feeds_of(source: Path | None, inputs: Sequence[Input]) -> list[Feeds]:
    if source is None:
        return [random_feeds(inputs)]
    paths = sorted(source.glob("*.np[yz]")) if source.is_dir() else [source]
    if not paths:
        raise InvalidInput(f"folder {source} contains no .npy or .npz file")
    return [file_feeds(path, inputs) for path in paths]


@contextmanager
def _sigterm_flag() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM was received inside the block; restores the previous handler after it."""
    received = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield lambda: received
    finally:
        signal.signal(signal.SIGTERM, previous)


class Durations:
    """Durations of runs in bounded memory: a task may have a billion of them.

    Keeps all of them at first, then every second, every fourth and so on.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[float] = []
        self._stride = 1

    def add(self, seconds: float) -> None:
        """Record the duration of one run."""
        if self.count % self._stride == 0:
            self._kept.append(seconds)
        self.count += 1
        if len(self._kept) == MAX_KEPT:
            del self._kept[1::2]
            self._stride *= 2

    def quantile(self, share: float) -> float:
        """Quantile of the durations in seconds; at least one must have been added."""
        return float(np.quantile(self._kept, share))


def to_folder(folder: Path) -> Outputs:
    """Outputs as files in a folder, which is created. Raises Unavailable if it is not writable."""

    def write(number: int, arrays: Mapping[str, np.ndarray]) -> None:
        target = folder / _file_name(number)
        partial = target.with_suffix(".part")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)  # on a full volume it would keep the last bytes
            raise Unavailable(f"cannot write {target}: {error}") from error

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot create folder {folder}: {error}") from error
    return write


def to_bucket(bucket: Bucket) -> Outputs:
    """Outputs as objects of an S3-compatible store."""

    def write(number: int, arrays: Mapping[str, np.ndarray]) -> None:
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        bucket.put(_file_name(number), content.getvalue())

    return write


def _file_name(number: int) -> str:
    return f"batch-{number:06d}.npz"
