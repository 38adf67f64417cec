"""The cluster that a command connects to, and advice for errors."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from acesniper.domain.errors import AcesniperError, Forbidden, InvalidInput, Unavailable

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

DEFAULT_KUBECONFIG = Path("~/.kube/config")

KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        help="Kubeconfig of the cluster; default: ~/.kube/config.",
    ),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig; default: the current.")
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; default: that of the context."),
]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Connection:
    """The kubeconfig and context that the options name."""

    kubeconfig: Path | None = None
    context: str | None = None

    def run(self, request: Callable[["Cluster"], Awaitable[Result]]) -> Result:
        """Connect and run a coroutine function on the cluster.

        Raises:
            AcesniperError: the message says what to do.
        """
        import asyncio

        async def connect_and_run() -> Result:
            async with self.open() as cluster:
                return await request(cluster)

        return asyncio.run(connect_and_run())

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Cluster"]:
        """Connect; errors that are raised within the block get advice."""
        from acesniper.runtime.client import Cluster

        async with Cluster.connect(self._path(), context=self.context) as cluster:
            try:
                yield cluster
            except AcesniperError as error:
                raise with_advice(error) from error

    def kubectl_flags(self) -> list[str]:
        """The flags that make kubectl use the same cluster; it reads KUBECONFIG lists by itself."""
        path = self._path()
        is_file = path is not None and os.pathsep not in str(path)
        return [
            *(["--kubeconfig", str(path)] if is_file else []),
            *(["--context", self.context] if self.context else []),
        ]

    def _path(self) -> Path | None:
        """The kubeconfig to use; None means the service account of the pod that we run in."""
        if self.kubeconfig is not None:
            paths = str(self.kubeconfig).split(os.pathsep)  # KUBECONFIG may list several
            if not any(Path(path).expanduser().is_file() for path in paths if path):
                raise InvalidInput(f"kubeconfig {self.kubeconfig} does not exist")
            return self.kubeconfig
        if (default := DEFAULT_KUBECONFIG.expanduser()).is_file():
            return default
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            return None
        raise InvalidInput(
            f"no cluster is configured: {DEFAULT_KUBECONFIG} does not exist; pass --kubeconfig FILE"
            " or set KUBECONFIG (on a K3s server: /etc/rancher/k3s/k3s.yaml)"
        )


def with_advice(error: AcesniperError) -> AcesniperError:
    """The same error with what the user can do about it."""
    from acesniper.domain.errors import NotFound

    if isinstance(error, NotFound):
        return Unavailable(
            f"{error}; Ace-Sniper's resources are not defined in the cluster: install the chart"
        )
    if isinstance(error, Forbidden):
        return Unavailable(
            f"{error}; this user lacks the permission: request it, or use another --context"
        )
    if type(error) is Unavailable and "the API server" in str(error):
        return Unavailable(f"{error}; check that the cluster runs and that --context is right")
    return error
