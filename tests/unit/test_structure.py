"""The shape of the code: unique names, module length, number of imports, no import cycles."""

import ast
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("core", "operator", "extender", "predictor", "probe", "simulator", "cli", "testbed")
# Modules whose job is to assemble a program; these may know many others.
ASSEMBLY = {"__main__", "wiring"}
MAX_FAN_OUT = 12
MAX_LINES = 350
MAX_TEST_NAME = 80

# Module -> reason for its length.
LONG_MODULES = {
    "acesniper.api.reasons": "the table of all reasons, one entry each",
    "acesniper.api.v1alpha1.inference_task": "the schema of one resource, with its documentation",
    "acesniper.testbed.chart.queries": "the panels of the dashboard, declarative",
}
# Public class names that are defined twice -> reason.
SHARED_CLASS_NAMES: dict[str, str] = {}
# Module -> modules that it imports, above the limit. Reconcilers read the API's types and call
# their collaborators; splitting them would spread one decision over more files.
WIDE_MODULES: dict[str, int] = {}


@cache
def modules() -> dict[str, Path]:
    """Return the path of each module of the product, by dotted name."""
    paths = {}
    for part in PARTS:
        for path in sorted((ROOT / part / "acesniper").rglob("*.py")):
            relative = path.relative_to(ROOT / part).with_suffix("")
            name = ".".join(relative.parts).removesuffix(".__init__")
            paths[name] = path
    return paths


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(name: str) -> set[str]:
    """Return the modules that a module imports, also inside functions, except for types only."""
    return set(walk_imports(tree(modules()[name]))) - {name}


def walk_imports(node: ast.AST) -> Iterator[str]:
    """Yield the modules of the product that are imported below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name in modules())
        elif isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                submodule = f"{child.module}.{alias.name}"
                if submodule in modules():
                    yield submodule
                elif child.module in modules():
                    yield child.module
        yield from walk_imports(child)


def cycles() -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(imports(name)):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                components.append(sorted(component))

    for name in modules():
        if name not in index:
            visit(name)
    return components


def public_classes() -> dict[str, list[str]]:
    """Return the modules that define each public class, by the class's name."""
    defined = defaultdict(list)
    for name, path in modules().items():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(name)
    return defined


def repeated_modules(part: str) -> dict[str, list[str]]:
    """Return module names that occur twice in a top-level package of a part, with the paths."""
    named = defaultdict(list)
    for path in sorted((ROOT / part / "acesniper").rglob("*.py")):
        if path.stem not in {"__init__", "__main__"}:
            package = path.relative_to(ROOT / part).parts[1]
            named[f"{package}: {path.stem}"].append(str(path.relative_to(ROOT)))
    return {name: paths for name, paths in named.items() if len(paths) > 1}


def long_modules(part: str) -> list[str]:
    """Return the modules of a part that are too long."""
    return [
        f"{name}: {lines} lines"
        for name, path in modules().items()
        if path.is_relative_to(ROOT / part) and name not in LONG_MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    ]


def wide_modules(part: str) -> list[str]:
    """Return the modules of a part that import too many others."""
    return [
        f"{name}: {len(others)} modules"
        for name, path in modules().items()
        if path.is_relative_to(ROOT / part) and path.stem not in ASSEMBLY
        if len(others := imports(name)) > WIDE_MODULES.get(name, MAX_FAN_OUT)
    ]


def long_test_names() -> list[str]:
    """Return test functions with a name of 80 characters or more."""
    listed = subprocess.check_output(["git", "ls-files", "tests/*.py"], cwd=ROOT, text=True)
    return [
        f"{path}: {node.name}"
        for path in listed.split()
        if (ROOT / path).exists()
        for node in ast.walk(tree(ROOT / path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and len(node.name) >= MAX_TEST_NAME
    ]


@pytest.mark.parametrize("part", PARTS)
def test_a_module_name_is_unique_in_its_part(part: str) -> None:
    assert repeated_modules(part) == {}


def test_a_public_class_name_is_unique() -> None:
    repeated = {name: where for name, where in public_classes().items() if len(where) > 1}

    assert {name: where for name, where in repeated.items() if name not in SHARED_CLASS_NAMES} == {}


@pytest.mark.parametrize("part", PARTS)
def test_a_module_has_a_readable_length(part: str) -> None:
    assert long_modules(part) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_module_imports_few_others(part: str) -> None:
    assert wide_modules(part) == []


def test_there_are_no_import_cycles() -> None:
    assert cycles() == []


def test_test_names_are_short() -> None:
    assert long_test_names() == []


def test_exceptions_are_still_needed() -> None:
    lengths = {
        name: len(modules()[name].read_text(encoding="utf-8").splitlines()) for name in LONG_MODULES
    }
    counts = Counter({name: len(where) for name, where in public_classes().items()})

    assert all(lines > MAX_LINES for lines in lengths.values())
    assert {name: len(imports(name)) for name in WIDE_MODULES} == WIDE_MODULES
    assert all(counts[name] > 1 for name in SHARED_CLASS_NAMES)
