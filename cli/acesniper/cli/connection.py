"""The cluster that a command asks: which one it is, and what to do when it does not answer."""

import asyncio
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

HOME = Path("~/.kube/config")

KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig", envvar="KUBECONFIG", help="The cluster to ask; default: ~/.kube/config."
    ),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="A context of the kubeconfig.")
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Default: the one that the context names."),
]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Connection:
    """Which cluster is meant."""

    kubeconfig: Path | None = None
    context: str | None = None

    def ask(self, question: Callable[["Cluster"], Awaitable[Result]]) -> Result:
        """Connect and ask.

        Raises:
            AcesniperError: the message says what to do.
        """

        async def asking() -> Result:
            async with self.open() as cluster:
                return await question(cluster)

        return asyncio.run(asking())

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Cluster"]:
        """The cluster; errors of what is asked leave with advice."""
        from acesniper.runtime.client import Cluster

        async with Cluster.connect(self._path(), context=self.context) as cluster:
            try:
                yield cluster
            except AcesniperError as error:
                raise advised(error) from error

    def flags(self) -> list[str]:
        """What names the same cluster to kubectl; a list of files goes by KUBECONFIG as it came."""
        path = self._path()
        one = path is not None and os.pathsep not in str(path)
        return [
            *(["--kubeconfig", str(path)] if one else []),
            *(["--context", self.context] if self.context else []),
        ]

    def _path(self) -> Path | None:
        """The kubeconfig to use; None is the pod that we are in."""
        if self.kubeconfig is not None:
            files = str(self.kubeconfig).split(os.pathsep)  # KUBECONFIG may list several
            if not any(Path(each).expanduser().is_file() for each in files if each):
                raise InvalidInput(f"there is no kubeconfig {self.kubeconfig}")
            return self.kubeconfig
        if (home := HOME.expanduser()).is_file():
            return home
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            return None
        raise InvalidInput(
            f"no cluster is named: there is no {HOME}; pass --kubeconfig FILE or set KUBECONFIG"
            " (on a K3s server: /etc/rancher/k3s/k3s.yaml)"
        )


def advised(error: AcesniperError) -> AcesniperError:
    """The error with what a person can do about it."""
    from acesniper.domain.errors import NotFound

    if isinstance(error, NotFound):
        return Unavailable(
            f"{error}; the cluster does not know Ace-Sniper's resources: install the chart first"
        )
    if isinstance(error, Forbidden):
        return Unavailable(
            f"{error}; this user may not: ask for the right, or take another --context"
        )
    if type(error) is Unavailable and "does not answer" in str(error):
        return Unavailable(f"{error}; is it running, and is it the right --context?")
    return error
