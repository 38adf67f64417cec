"""Run a model over batches and report how it went: what a task's pod does."""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.probe.feeds import file_feeds, random_feeds
from acesniper.probe.model_file import bound_model, verify
from acesniper.probe.runtimes import Input, Runtime, RuntimeOptions

REPORT_VERSION = 1
Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What to run.

    `source` is a .npy or .npz file, or a folder of them taken in turn; without it the input is
    random. `verified` says that the model's digest was checked as it came here, and `fetch_s` how
    long that took.
    """

    model: Path
    inferences: int = 1
    batch: int = 1
    shapes: Mapping[str, int] = field(default_factory=dict)
    sha256: str | None = None
    source: Path | None = None
    outputs: Outputs | None = None
    device: str = ""
    fetch_s: float = 0.0
    verified: bool = False


@dataclass(frozen=True, slots=True)
class RunnerReport:
    """How a run went; `inferences` counts the batches that finished."""

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
        """One line, as it goes to standard output and to the termination message."""
        return json.dumps(asdict(self))


def run_model(
    job: RunSpec,
    runtime: Runtime,
    options: RuntimeOptions,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> RunnerReport:
    """Run every batch; `progress` hears the number done, 0 as the first one begins.

    On SIGTERM the batch at work finishes and the report counts what was done. Raises InvalidModel
    and InvalidInput before anything runs.
    """
    if job.inferences < 1:
        raise InvalidInput(f"inferences must be 1 or more, not {job.inferences}")
    start = time.perf_counter()
    known = job.sha256 if job.verified else None
    digest = known or verify(job.model, job.sha256)
    session = runtime.load(bound_model(job.model, job.batch, job.shapes), options)
    feeds = _feeds_of(job.source, session.inputs)
    load_s = time.perf_counter() - start
    durations = Durations()
    with _sigterm_flag() as stopped:
        progress(0)
        for number in range(job.inferences):
            begin = time.perf_counter()
            result = session.run(feeds[number % len(feeds)])
            durations.add(time.perf_counter() - begin)
            if job.outputs is not None:
                job.outputs(number, result)
            progress(number + 1)
            if stopped():
                break
    return RunnerReport(
        version=REPORT_VERSION,
        model=job.model.name,
        sha256=digest,
        device=job.device,
        inferences=durations.count,
        latency_median_s=round(durations.quantile(0.5), 9),
        latency_p90_s=round(durations.quantile(0.9), 9),
        fetch_s=round(job.fetch_s, 6),
        load_s=round(load_s, 6),
        total_s=round(time.perf_counter() - start, 6),
    )


def _feeds_of(source: Path | None, inputs: Sequence[Input]) -> list[Feeds]:
    if source is None:
        return [random_feeds(inputs)]
    paths = sorted(source.glob("*.np[yz]")) if source.is_dir() else [source]
    if not paths:
        raise InvalidInput(f"the folder {source} holds no .npy or .npz file")
    return [file_feeds(path, inputs) for path in paths]


@contextmanager
def _sigterm_flag() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM has come since the block began; restores the handler after it."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGTERM, before)
