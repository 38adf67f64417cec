"""Every command of the documentation runs, page by page."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from acesniper.testbed import ControlPlane, make_node, start_kwok
from doc_blocks import PAGES, ROOT, Page, read
from installed import FreshFleet, Installed, shell_environment

TIMEOUT_S = 240
RUN = [page for page in map(read, PAGES) if page.runs]


def pages(cluster: str) -> pytest.MarkDecorator:
    chosen = [page for page in RUN if page.cluster == cluster]
    return pytest.mark.parametrize("page", chosen, ids=lambda page: page.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the repository, in which the commands of a page may write files."""
    for path in ROOT.iterdir():
        if path.name not in (".git", "build"):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def run(page: Page, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", page.script],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}: {done.stderr[-3000:]}\n{done.stdout[-2000:]}"


@pages("none")
def test_a_page_without_a_cluster_runs(page: Page, folder: Path) -> None:
    run(page, folder, shell_environment(None, folder))


@pages("installed")
def test_a_page_for_an_installed_cluster_runs(
    page: Page, folder: Path, installed: FreshFleet
) -> None:
    assert isinstance(installed.system, Installed)
    plane = installed.system.plane
    namespace = page.path.stem.lower()
    plane.kubectl("create", "namespace", namespace)
    installed.add_models(namespace)
    environment = shell_environment(installed.system, folder)
    environment["KUBECONFIG"] = str(_within(namespace, Path(environment["KUBECONFIG"]), folder))

    run(page, folder, environment)

    plane.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def empty(request: pytest.FixtureRequest) -> Iterator[Installed]:
    """A cluster of two nodes with nothing in it."""
    with ControlPlane() as plane:
        start_kwok(plane)
        nodes = [make_node("edge-1"), make_node("edge-2")]
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(nodes))
        plane.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
        yield Installed(plane)
        plane.keep_logs = request.session.testsfailed > 0


@pages("empty")
def test_a_page_that_installs_ace_sniper_runs(page: Page, folder: Path, empty: Installed) -> None:
    run(page, folder, shell_environment(empty, folder))


def _within(namespace: str, kubeconfig: Path, folder: Path) -> Path:
    """A copy of a kubeconfig whose context names a namespace."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    path = folder / "kubeconfig.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
