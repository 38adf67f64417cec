"""Processor time (user and system) of commands before they do anything, over several runs.

    python benchmarks/startup.py [--runs 5] [--json OUT]

For a command that connects to a cluster, the time until its first request arrives at a server of
this program is taken; for the others that of the whole process. Medians are printed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import median

COMMAND = [sys.executable, "-m", "acesniper.cli"]
LIMITS_S = {"help": 0.2, "completion": 0.15, "first request": 0.5}
LOCAL = {
    "acesniper --help": ("help", ("--help",), ""),
    "acesniper top --help": ("help", ("top", "--help"), ""),
    "completion of `acesniper do`": ("completion", (), "acesniper do"),
    "completion of `acesniper top --wa`": ("completion", (), "acesniper top --wa"),
}
CLUSTER = (
    ("top",),
    ("plan",),
    ("explain", "task"),
    ("network", "status"),
    ("doctor",),
)
KUBECONFIG = """
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: u, user: {{token: x}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name, (limit, words, line) in LOCAL.items():
        times_s = [process_time_s(words, line) for _ in range(arguments.runs)]
        rows.append({"command": name, "limit": limit, "processor_s": median(times_s)})
    with tempfile.TemporaryDirectory() as folder:
        for words in CLUSTER:
            times_s = [first_request_s(words, Path(folder)) for _ in range(arguments.runs)]
            name = f"acesniper {' '.join(words)}"
            rows.append({"command": name, "limit": "first request", "processor_s": median(times_s)})
    print(f"{'command':36} {'processor time':>14} {'limit':>7}")
    for row in rows:
        limit_s = LIMITS_S[str(row["limit"])]
        print(f"{row['command']:36} {row['processor_s']:12.3f} s {limit_s:5.2f} s")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def process_time_s(words: tuple[str, ...], line: str) -> float:
    """Processor time of a whole command; `line` is a command line to complete."""
    completion = {
        "_ACESNIPER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [Path(sys.executable).with_name("acesniper"), *words],
        env={**os.environ, **(completion if line else {})},
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def first_request_s(words: tuple[str, ...], folder: Path) -> float:
    """Processor time of a command until its first request arrives, in clock ticks of 10 ms."""
    with measuring_server() as (port, measured):
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(KUBECONFIG.format(port=port))
        command = [*COMMAND, *words, "--kubeconfig", str(kubeconfig)]
        with subprocess.Popen(command, stdout=-3, stderr=-3) as process:
            measured["pid"] = process.pid
            process.wait()
    return measured["ticks"] / TICKS


@contextmanager
def measuring_server() -> Iterator[tuple[int, dict[str, int]]]:
    """A server that notes the client's processor time at its first request, and answers 503."""
    measured: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base's name
            measured.setdefault("ticks", process_ticks(measured["pid"]))
            self.send_error(503)

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the base's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, measured
        finally:
            server.shutdown()


def process_ticks(pid: int) -> int:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
