"""The groups in which the end-to-end tests are handed out to processes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

E2E = Path(__file__).parents[2] / "e2e"


@pytest.fixture
def conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_group_starts_with_an_existing_test(conftest: ModuleType) -> None:
    for start in conftest.GROUPS:
        module, _, test = start.partition("::")
        assert f"def {test or 'test_'}" in (E2E / module).read_text()


@pytest.mark.parametrize(
    ("test", "group"),
    [
        (
            "test_docs.py::test_a_page_for_an_installed_cluster_runs[docs/guide/gpus.md]",
            "installed",
        ),
        ("test_docs.py::test_a_page_without_a_cluster_runs[docs/faq.md]", "test_docs.py"),
        ("test_monitoring.py::test_labels_have_the_declared_values", "monitoring"),
    ],
)
def test_a_test_is_grouped_by_its_id(conftest: ModuleType, test: str, group: str) -> None:
    assert conftest.group_of(f"tests/e2e/{test}") == group
