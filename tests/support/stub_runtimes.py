"""Faulty child processes for measurements, importable by the processes that tests start."""

import os
import threading
from multiprocessing.connection import Connection

from acesniper.probe.isolation import LatencyJob
from acesniper.probe.latency import Latency


def latency(seconds: float) -> Latency:
    return Latency(seconds, seconds, seconds, 0.1, None)


def crashing(pipe: Connection, _: LatencyJob) -> None:
    """A runtime that crashes its process on one model."""
    while True:
        if pipe.recv().path.stem == "deadly":
            os._exit(1)
        pipe.send(latency(0.01))


def hanging(pipe: Connection, _: LatencyJob) -> None:
    """A runtime that hangs."""
    pipe.recv()
    threading.Event().wait()
