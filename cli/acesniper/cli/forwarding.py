"""A port of a pod, brought here by `kubectl port-forward`: by the cluster's own rights."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acesniper.cli.connection import Connection
from acesniper.domain.errors import Unavailable

PATIENCE_S = 10.0
_WHERE = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+)")


@asynccontextmanager
async def forwarded(
    connection: Connection, namespace: str, pod: str, port: int
) -> AsyncIterator[str]:
    """The address at which the port answers here, as long as the block lasts.

    Raises:
        Unavailable: kubectl is not there, or does not get through.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise Unavailable("kubectl is not on PATH, and the extender is reached through it")
    argv = ["port-forward", "--namespace", namespace, pod, f":{port}", *connection.flags()]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(program, *argv, stdout=pipe, stderr=pipe)
    try:
        yield f"http://{await _where(child, pod)}"
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


async def _where(child: asyncio.subprocess.Process, pod: str) -> str:
    assert child.stdout is not None  # noqa: S101 - it was asked for
    assert child.stderr is not None  # noqa: S101
    try:
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE_S)
    except TimeoutError as error:
        raise Unavailable(f"kubectl port-forward to {pod} does not get through") from error
    if (found := _WHERE.search(line)) is None:
        said = (await child.stderr.read()).decode(errors="replace").strip()
        raise Unavailable(f"kubectl port-forward to {pod}: {said or 'no answer'}")
    return found[1].decode()
