"""Texts are plain technical English: words and names to avoid, in one list.

`WORDS` is the one list. It is searched for in strings, docstrings, comments and names of functions
and classes of Python files, and in documents, charts and scripts.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Pattern (a whole word or phrase) -> replacement.
WORDS = {
    r"anew": "again; re-read, re-probe",
    r"whoever": "a user, a caller, a client that ...",
    r"(no|some|every|any)body": "name who: no caller, a user, all replicas",
    r"tells?|told|telling": "report, return, print, set",
    r"mend(s|ed|ing)?": "fix",
    r"(for )?want of": "lack of; out of memory",
    r"give or take": "about",
    r"as it should( be)?": "healthy; matches",
    r"hindered|hinders": "prevent, block",
    r"forgiv\w+": "reset",
    r"doubt(s|ed|ful)?": "discount; out of distribution",
    r"believ(e|es|ed|ing)|beliefs?": "assume, estimate",
    r"promis(e|es|ed|ing)": "reserve, guarantee",
    r"wish(es|ed)?": "request",
    r"hear|hears|heard|deaf": "receive; stalled",
    r"by and by": "gradually",
    r"puts? up with": "accept, tolerate",
    r"(that|there|which) (is|are) none": "no X; say what is missing",
    r"beside|besides": "next to, with, in addition to",
    r"sees? fit": "choose",
    r"strangers?": "foreign pods",
    r"suited": "feasible",
    r"nowhere": "unschedulable; on no node",
    r"(what|is) (is )?to be thought": "say what it is",
    r"hope(s|less|d)?": "feasible, unschedulable",
    r"let(s|ting)? go": "release",
    r"look(s|ed|ing)? after": "watch, manage",
    r"look(s|ed)? again|looked at (again|once more)": "re-evaluate, reconcile",
    r"(is|are|was|were|went|be|been) away": "down, unavailable",
    r"ought|thereby|hitherto|likewise": "drop it",
    r"(says?|said|saying) so": "report it; log it",
    r"(for|of) people": "message, text, human-readable",
    r"last words?|word of": "termination message, report",
    r"in vain": "without success",
    r"for good": "permanently",
    r"once more|ever since": "again; since",
    r"makes? of it": "result",
    r"(its|his|their|whose) turn": "queue order",
    r"what stands": "what is in, what is set",
    r"out of turn": "before its place in the queue",
    r"whole ones": "complete objects",
    r"as a rule(?! file)": "usually",
    r"sight": "snapshot",
}
PATTERN = re.compile(
    r"\b(?:" + "|".join(f"(?:{word})" for word in WORDS).replace(" ", r"\s+") + r")\b",
    re.IGNORECASE,
)
# Variables, arguments and attributes are named after what they hold.
NAMES = frozenset(
    {"each", "said", "told", "tell", "tells", "anew", "hearing", "heard", "sight", "trouble"}
)

# File -> words that it may hold, with the reason.
EXCEPTIONS: dict[str, frozenset[str]] = {
    # Contains the list itself.
    "tests/unit/test_language.py": frozenset({"*"}),
    # JavaScript's Promise.
    "benchmarks/page.py": frozenset({"promise"}),
    # Lists a former reason of a condition.
    "CHANGELOG.md": frozenset({"hindered"}),
}
PARTS = (
    "examples",
    "atlas",
    "testbed",
    "cli",
    "probe",
    "core",
    "operator",
    "extender",
    "predictor",
    "simulator",
    "tests",
    "benchmarks",
    "docs",
    "charts",
    "crds",
    "docker",
    ".ci",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Dockerfile",
    "Makefile",
    "pyproject.toml",
)
TEXT = {
    ".css",
    ".go",
    ".html",
    ".js",
    ".md",
    ".sh",
    ".svg",
    ".toml",
    ".tpl",
    ".txt",
    ".yaml",
    ".yml",
}
WITHOUT_SUFFIX = {"Dockerfile", "Makefile", "install", "run", "stages"}


def texts_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield first line and text of every string, comment and name of a function or class."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name.replace("_", " ")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def words_in(path: Path) -> list[tuple[int, str]]:
    """Return line and text of each match; a phrase may span a line break."""
    source = path.read_text(encoding="utf-8")
    texts = texts_of_python(source) if path.suffix == ".py" else [(1, source)]
    matches = {
        (line + text.count("\n", 0, match.start()), " ".join(match[0].lower().split()))
        for line, text in texts
        for match in PATTERN.finditer(text)
    }
    allowed = EXCEPTIONS.get(str(path.relative_to(ROOT)), frozenset())
    return sorted(row for row in matches if allowed.isdisjoint({"*", row[1]}))


def names_in(path: Path) -> list[tuple[int, str]]:
    """Return line and name of variables, arguments and fields that say nothing."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NAMES:
            names.append((node.lineno, node.id))
        if isinstance(node, ast.arg) and node.arg in NAMES:
            names.append((node.lineno, node.arg))
    return sorted(set(names))


def files_of(part: str) -> list[Path]:
    """Return the files of a part that hold text of ours."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "--", part], cwd=ROOT, text=True
    )
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [
        path
        for path in paths
        if path.is_file()
        and (path.suffix in TEXT | {".py"} or path.name in WITHOUT_SUFFIX)
        and "vendor" not in path.parts
        and not path.is_relative_to(ROOT / "docs/images/atlas")
    ]


@pytest.mark.parametrize("part", PARTS)
def test_texts_are_plain_technical_english(part: str) -> None:
    places = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in files_of(part)
        for line, word in words_in(path)
    ]

    assert places == []


@pytest.mark.parametrize("part", PARTS)
def test_variables_are_named_after_what_they_hold(part: str) -> None:
    places = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files_of(part)
        if path.suffix == ".py"
        for line, name in names_in(path)
    ]

    assert places == []


def test_every_exception_is_needed() -> None:
    assert [name for name in EXCEPTIONS if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("word", ["anew", "nobody", "was told", "there is none", "Beside it"])
def test_the_list_matches_the_idiom(word: str) -> None:
    assert PATTERN.search(f"a text {word}, with an end")


@pytest.mark.parametrize("text", ["renewed", "hearsay", "as a rule file", "a hindrance"])
def test_the_list_leaves_other_words_alone(text: str) -> None:
    assert not PATTERN.search(text)
