"""Extraction of commands from the documentation, and the use of its markers."""

import subprocess
from pathlib import Path

import pytest

from doc_blocks import PAGES, ROOT, read

PAGE = """# Title

<!-- cluster: none -->
```console
$ echo one \\
  two
one two
$ echo three
```

<!-- not run: needs a board -->
```sh
flash-it
```

<!-- run: echo hidden -->
```yaml
# thing.yaml
kind: "It's"
```

```yaml
kind: Shown only
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_commands_run_in_order_and_files_are_written(page: Path) -> None:
    parsed_page = read(page)

    done = subprocess.run(
        ["bash", "-c", parsed_page.script],
        capture_output=True,
        text=True,
        check=True,
        cwd=page.parent,
    )

    assert parsed_page.cluster == "none"
    assert done.stdout == "one two\nthree\nhidden\n"
    assert (page.parent / "thing.yaml").read_text() == '# thing.yaml\nkind: "It\'s"\n'


def test_a_failure_names_its_line(page: Path) -> None:
    page.write_text(PAGE.replace("echo three", "false"))

    done = subprocess.run(
        ["bash", "-c", read(page).script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == "failed at line 4\n"


def test_a_skipped_block_has_a_reason(page: Path) -> None:
    assert [step.skipped for step in read(page).steps] == ["", "needs a board", "", ""]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_markers_of_every_page_are_valid(path: Path) -> None:
    text, parsed_page = path.read_text(encoding="utf-8"), read(path)

    reasons = [step for step in parsed_page.steps if step.skipped]
    assert text.count("<!-- not run:") == len(reasons), "a reason is immediately before its block"
    assert parsed_page.cluster in ("installed", "empty", "none")
