"""The convention by which the documents' commands are run, and the documents held to it."""

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


def test_what_was_typed_is_run_in_order_and_files_are_written(page: Path) -> None:
    found = read(page)

    done = subprocess.run(
        ["bash", "-c", found.script], capture_output=True, text=True, check=True, cwd=page.parent
    )

    assert found.cluster == "none"
    assert done.stdout == "one two\nthree\nhidden\n"
    assert (page.parent / "thing.yaml").read_text() == '# thing.yaml\nkind: "It\'s"\n'


def test_a_failure_names_its_line(page: Path) -> None:
    page.write_text(PAGE.replace("echo three", "false"))

    done = subprocess.run(
        ["bash", "-c", read(page).script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == "failed at line 4\n"


def test_what_is_not_run_says_why(page: Path) -> None:
    assert [each.skipped for each in read(page).steps] == ["", "needs a board", "", ""]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pages_words_about_its_commands_are_understood(path: Path) -> None:
    text, found = path.read_text(encoding="utf-8"), read(path)

    reasons = [each for each in found.steps if each.skipped]
    assert text.count("<!-- not run:") == len(reasons), "a reason stands right before its block"
    assert found.cluster in ("installed", "empty", "none")
