"""Sphinx extensions and properties of the built site; `make docs` checks pages and links."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from doc_blocks import PAGES, ROOT

DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s:]+)(?:#[^)\s]*)?\)|!\[[^\]]*\]\(([^)\s:]+)\)")

SET = re.compile(r"--set(?:-json|-string)? '?([^\s'`]+)")
"""The argument of `--set`: values, separated by commas."""


def site_module(name: str) -> ModuleType:
    spec = spec_from_file_location(name, DOCS / f"_site/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_out_of_docs_are_shown_as_paths_and_checked() -> None:
    outside = site_module("repository").outside
    page = DOCS / "guide/x.md"
    text = "[`values.yaml`](../../charts/acesniper/values.yaml) [here](k3s.md) [x](../../no/such)"

    result, missing = outside(text, page, DOCS)

    assert result == "`charts/acesniper/values.yaml` [here](k3s.md) x"
    assert missing == ["../../no/such"]


def test_links_in_code_blocks_are_kept() -> None:
    text = "```sh\n[a](../../no/such)\n```"

    assert site_module("repository").outside(text, DOCS / "x.md", DOCS) == (text, [])


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "atlas/README.md"]
)
def test_links_of_pages_outside_docs_are_valid(name: str) -> None:
    path = ROOT / name
    targets = [first or second for first, second in LINK.findall(path.read_text(encoding="utf-8"))]

    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", str(DOCS), str(folder)],
        check=True,
    )
    return folder


def test_the_built_site_loads_no_external_resources(site: Path) -> None:
    loaded = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]+\"")
    pages = list(site.rglob("*.html"))
    imported = [
        sheet.name
        for sheet in site.rglob("*.css")
        if re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", sheet.read_text())
    ]

    assert len(pages) > 30
    assert [page.name for page in pages if loaded.search(page.read_text())] == []
    assert imported == []


def test_formulas_need_no_script(site: Path) -> None:
    method = (site / "method.html").read_text()

    assert method.count("<math ") > 20
    assert "MathJax" not in method


def test_the_search_index_contains_the_troubleshooting_page(site: Path) -> None:
    assert "guide/troubleshooting" in (site / "searchindex.js").read_text()


def test_values_set_in_the_documentation_exist() -> None:
    values = yaml.safe_load((ROOT / "charts/acesniper/values.yaml").read_text())

    unknown = [
        f"{page.name}: {name}"
        for page in PAGES
        for flag in SET.findall(page.read_text(encoding="utf-8"))
        for name in re.findall(r"(?:^|(?<!\\),)([\w.]+)(?:\[\d+\])?[\w.]*=", flag)
        if not exists(values, name)
    ]

    assert unknown == []


def exists(values: object, path: str) -> bool:
    """Return whether the chart has a value with this path."""
    for part in path.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True
