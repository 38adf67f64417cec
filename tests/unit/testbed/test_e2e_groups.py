"""The groups of the end-to-end tests name tests that exist."""

import ast
from pathlib import Path

E2E = Path(__file__).parents[2] / "e2e"


def test_every_group_starts_with_an_existing_test() -> None:
    assignments = (
        node
        for node in ast.parse((E2E / "conftest.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GROUPS"
    )
    groups = ast.literal_eval(next(assignments).value)

    for start in groups:
        module, _, test = start.partition("::")
        assert f"def {test or 'test_'}" in (E2E / module).read_text()
