"""Latency measurement in a child process: a crash or hang of a runtime costs one model, not all."""

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

TIMEOUT_S = 180.0
"""Time limit for measuring one model."""

MODELS_PER_CHILD = 25
"""Models that a child measures before it is replaced: some runtimes never free memory."""


@dataclass(frozen=True, slots=True)
class LatencyJob:
    """Settings that the child process measures with."""

    runtime: str
    options: RuntimeOptions
    effort: LatencyEffort
    throttled: bool = False
    reference: Path | None = None

    def measure(self, case: ModelCase) -> Latency:
        """Measure one model in this process."""
        return measure_latency(
            case.path,
            case.batch,
            case.shapes,
            runtime(self.runtime),
            self.options,
            effort=self.effort,
            throttled=self.throttled,
            reference=self.reference,
        )


class Isolated:
    """Measures in a child process, started on demand and restarted after it ended."""

    def __init__(
        self,
        job: LatencyJob,
        *,
        timeout_s: float = TIMEOUT_S,
        serve: "Callable[[Connection, LatencyJob], None] | None" = None,
    ) -> None:
        self._job = job
        self._timeout_s = timeout_s
        self._serve = serve or _serve
        self._context = multiprocessing.get_context("spawn")
        self._child: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._measured = 0

    def __enter__(self) -> "Isolated":
        """Return self; the child starts with the first model."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the child."""
        self._end()

    def measure(self, case: ModelCase) -> Latency:
        """Measure one model. Raises InvalidModel, also if the child failed (Crashed, TimedOut)."""
        if self._measured >= MODELS_PER_CHILD:
            self._end()
        pipe = self._pipe or self._start()
        pipe.send(case)
        self._measured += 1
        if not pipe.poll(self._timeout_s):
            self._end()
            message = f"measuring {case.path.stem} timed out after {self._timeout_s:g} s"
            raise InvalidModel("TimedOut", message)
        try:
            response = pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self._end()
            message = f"{self._job.runtime} crashed while it ran {case.path.stem}"
            raise InvalidModel("Crashed", message) from error
        if isinstance(response, Latency):
            return response
        reason, message = response
        raise InvalidModel(invalid_model_reason(reason, "Crashed"), message)

    def _start(self) -> Connection:
        self._pipe, child_end = self._context.Pipe()
        self._child = self._context.Process(
            target=self._serve, args=(child_end, self._job), daemon=True
        )
        self._child.start()
        child_end.close()
        self._measured = 0
        return self._pipe

    def _end(self) -> None:
        if self._child is not None and self._pipe is not None:
            self._child.kill()
            self._child.join()
            self._pipe.close()
        self._child = self._pipe = None


def _serve(pipe: Connection, job: LatencyJob) -> None:
    """Main function of the child: measure models until the parent closes the pipe."""
    while True:
        try:
            case: ModelCase = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(job.measure(case))
        except InvalidModel as error:
            pipe.send((error.reason, str(error)))
        except MemoryError:
            pipe.send(("OutOfMemory", f"{case.path.stem} needs more memory than is available"))
