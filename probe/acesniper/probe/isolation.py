"""Measure models in a child process: a runtime that crashes or hangs loses one model, not all."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from acesniper.domain.errors import InvalidModel, invalid_model_reason
from acesniper.probe.collect import ModelCase
from acesniper.probe.latency import Latency, LatencyEffort, measure_latency
from acesniper.probe.runtimes import RuntimeOptions, runtime

LONGEST_S = 180.0
"""After so long a model is given up."""

MODELS_EACH = 25
"""A child measures so many models and is replaced: some runtimes never give memory back."""


@dataclass(frozen=True, slots=True)
class LatencyJob:
    """How the child measures: all that it must be told."""

    runtime: str
    options: RuntimeOptions
    effort: LatencyEffort
    throttled: bool = False
    reference: Path | None = None

    def measure(self, wanted: ModelCase) -> Latency:
        """Measure one model in this process."""
        return measure_latency(
            wanted.path,
            wanted.batch,
            wanted.shapes,
            runtime(self.runtime),
            self.options,
            effort=self.effort,
            throttled=self.throttled,
            reference=self.reference,
        )


class Isolated:
    """Measures in a child, which is started when needed and again after it ended."""

    def __init__(
        self,
        job: LatencyJob,
        *,
        longest_s: float = LONGEST_S,
        serve: "Callable[[Connection, LatencyJob], None] | None" = None,
    ) -> None:
        self._job = job
        self._longest_s = longest_s
        self._serve = serve or _serve
        self._context = multiprocessing.get_context("spawn")
        self._child: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._done = 0

    def __enter__(self) -> "Isolated":
        """Nothing starts yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self._end()

    def measure(self, wanted: ModelCase) -> Latency:
        """Measure one model. Raises InvalidModel, also (Crashed, TimedOut) when the child ended."""
        if self._done >= MODELS_EACH:
            self._end()
        pipe = self._pipe or self._start()
        pipe.send(wanted)
        self._done += 1
        if not pipe.poll(self._longest_s):
            self._end()
            message = f"{wanted.path.stem} was not measured within {self._longest_s:g} s"
            raise InvalidModel("TimedOut", message)
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self._end()
            message = f"{self._job.runtime} crashed over {wanted.path.stem}"
            raise InvalidModel("Crashed", message) from error
        if isinstance(answer, Latency):
            return answer
        reason, message = answer
        raise InvalidModel(invalid_model_reason(reason, "Crashed"), message)

    def _start(self) -> Connection:
        self._pipe, theirs = self._context.Pipe()
        self._child = self._context.Process(
            target=self._serve, args=(theirs, self._job), daemon=True
        )
        self._child.start()
        theirs.close()
        self._done = 0
        return self._pipe

    def _end(self) -> None:
        if self._child is not None and self._pipe is not None:
            self._child.kill()
            self._child.join()
            self._pipe.close()
        self._child = self._pipe = None


def _serve(pipe: Connection, job: LatencyJob) -> None:
    """The child: measure what is asked for until the parent is gone."""
    while True:
        try:
            wanted: ModelCase = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(job.measure(wanted))
        except InvalidModel as error:
            pipe.send((error.reason, str(error)))
        except MemoryError:
            pipe.send(("OutOfMemory", f"{wanted.path.stem} needs more memory than there is"))
