"""The commands in the documents, as a shell script per page.

A fenced block of `sh` or `console` is run, a `yaml` block whose first line is `# FILE.yaml` is
written to that file first. Comments on separate lines change that:

    <!-- not run: REASON -->       the next block is not run here, and why
    <!-- run: COMMAND -->          a command that the reader does not see, such as a preparation
    <!-- cluster: empty -->        the page installs Ace-Sniper itself (`none`: it needs no cluster)
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_PART = re.compile(
    r"^ *<!-- (?P<word>not run|run|cluster): (?P<value>.+?) -->$"
    r"|^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"^# (?P<name>[\w.-]+\.yaml)\n")


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a page's script, its line, and why it is not run, if so."""

    line: int
    script: str
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its steps, and the cluster they need: `installed`, `empty` or `none`."""

    path: Path
    cluster: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """Path in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def script(self) -> str:
        """A script of all steps; a failure prints its line."""
        lines = ["set -euo pipefail", """trap 'echo "failed at line $LINE" >&2' ERR"""]
        for step in self.steps:
            if not step.skipped:
                lines += [f"LINE={step.line}", step.script]
        return "\n".join(lines)

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return any(not step.skipped for step in self.steps)


def read(path: Path) -> Page:
    """Parse the steps of a page."""
    text, cluster, reason = path.read_text(encoding="utf-8"), "installed", ""
    steps: list[Step] = []
    for part in _PART.finditer(text):
        line = text[: part.start()].count("\n") + 1
        match part["word"]:
            case "not run":
                reason = part["value"]
                continue
            case "run":
                steps.append(Step(line, part["value"]))
            case "cluster":
                cluster = part["value"]
            case _:
                if script := _script(part["language"], dedent(part["text"])):
                    steps.append(Step(line, script, reason))
        reason = ""
    return Page(path, cluster, tuple(steps))


def _script(language: str, text: str) -> str:
    match language:
        case "sh":
            return text
        case "console":
            return _typed(text)
        case "yaml" if named := _FILE.match(text):
            return f"printf %s {shlex.quote(text)} > {named['name']}"
    return ""


def _typed(text: str) -> str:
    """Return the commands after the prompts, with their continuation lines."""
    commands, continues = [], False
    for line in text.splitlines():
        if line.startswith("$ ") or continues:
            commands.append(line.removeprefix("$ "))
            continues = line.endswith("\\")
    return "\n".join(commands)
