"""The generated reference pages: of the command, and of the resources.

python -m acesniper.cli.reference            writes them anew, in the repository
python -m acesniper.cli.reference --check    ends with 1 when that would change anything
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from acesniper.api import reference as resources
from acesniper.cli.commands import COMMANDS, application, panels

FOLDER = Path("docs/reference")
HEAD = """# The command `acesniper`

Generated from `cli/acesniper/cli/` by `make generate`; do not edit. `acesniper COMMAND --help` says
the same.

As `kubectl acesniper` it is a plugin of kubectl: that needs `kubectl-acesniper`, which is installed
with it, on `PATH`. `acesniper --install-completion` completes commands and options in your shell.

What asks a cluster takes `--kubeconfig` (or `KUBECONFIG`, else `~/.kube/config`) and `--context`.
Exit codes: 0, all is well; 1, something outside does not answer, or `doctor` found an error; 2,
what was asked for cannot be used.
"""


def files() -> dict[Path, str]:
    """Path to text of every generated page."""
    return {
        FOLDER / "cli.md": page(),
        FOLDER / "resources.md": resources.page(),
        FOLDER / "conditions.md": resources.conditions_page(),
    }


def page() -> str:
    """The page of the command as Markdown."""
    lines = [HEAD]
    for panel, names in panels().items():
        lines += [f"## {panel}", ""]
        for name in names:
            command = _command(name)
            lines += [*_one(f"acesniper {name}", command, name), ""]
    return "\n".join(lines).rstrip() + "\n"


Command = Any
"""Typer's classes for commands and their parameters are its own and have no public name."""
Parameter = Any


def _command(name: str) -> Command:
    group: Command = typer.main.get_command(application([name]))
    return group.commands[name]


def _one(title: str, command: Command, name: str) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    if (inner := getattr(command, "commands", None)) is not None:
        yield COMMANDS[name]
        for own, each in inner.items():
            yield ""
            yield from _one(f"{title} {own}", each, name)
        return
    arguments, options = (
        [each for each in command.params if each.param_type_name == kind]
        for kind in ("argument", "option")
    )
    words = [title, *("[OPTIONS]" if options else "",), *map(_metavar, arguments)]
    yield f"```text\n{' '.join(filter(None, words))}\n```"
    yield ""
    yield from _help(command.help or "")
    yield from _table(arguments, options)


def _help(text: str) -> Iterator[str]:
    """The text of a command; what is indented in it are examples."""
    paragraphs = [each for each in text.replace("\b", "").split("\n\n") if each.strip()]
    for each in paragraphs:
        head, _, rest = each.partition("\n")
        if head.startswith("Example"):
            shown = "\n".join(line.strip() for line in rest.splitlines())
            yield f"{head}\n\n```text\n{shown}\n```\n"
        else:
            yield f"{' '.join(each.split())}\n"


def _table(arguments: Sequence[Parameter], options: Sequence[Parameter]) -> Iterator[str]:
    yield "| argument or option | default | what it does |"
    yield "|---|---|---|"
    for argument in arguments:
        text = getattr(argument, "help", None) or ""
        yield f"| `{_metavar(argument)}` | {'required' if argument.required else ''} | {text} |"
    for option in options:
        names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
        variable = f" Variable: `{option.envvar}`." if option.envvar else ""
        yield f"| {names} | {_default(option)} | {_cell(option.help or '')}{variable} |"


def _metavar(argument: Parameter) -> str:
    return argument.metavar or (argument.name or "").upper()


def _default(option: Parameter) -> str:
    if option.required:
        return "required"
    value = option.default
    if callable(value) or value in (None, "", (), [], False) or str(value).startswith("Sentinel"):
        return ""
    shown = getattr(value, "value", value)
    return f"`{', '.join(map(str, shown)) if isinstance(shown, (list, tuple)) else shown}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def drift(root: Path, wanted: Mapping[Path, str]) -> list[Path]:
    """The pages that are not what they should be."""
    return [
        path
        for path, text in wanted.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Write or check; 1 if the check found drift."""
    check, wanted = "--check" in arguments, files()
    changed = drift(Path(), wanted)
    for path in changed:
        if not check:
            path.write_text(wanted[path], encoding="utf-8")
        print(f"{'differs' if check else 'wrote'} {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
