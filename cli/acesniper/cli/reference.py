"""Generates the reference pages of the command and of the resources.

python -m acesniper.cli.reference            writes them into docs/reference
python -m acesniper.cli.reference --check    exits with 1 if a page is out of date
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from acesniper.api import reference as resources
from acesniper.cli.commands import COMMANDS, application, sections

FOLDER = Path("docs/reference")
HEAD = """# The command `acesniper`

Generated from `cli/acesniper/cli/` by `make generate`; do not edit. `acesniper COMMAND --help`
prints the same.

The command is also a kubectl plugin, `kubectl acesniper`, if the program `kubectl-acesniper`, which
is installed with it, is on `PATH`. `acesniper --install-completion` sets up shell completion.

Commands that connect to a cluster take `--kubeconfig` (or `KUBECONFIG`, default `~/.kube/config`)
and `--context`. Exit codes: 0, success; 1, something that the command needs is unavailable, or
`doctor` found an error; 2, invalid input.
"""


def files() -> dict[Path, str]:
    """Path to text of every generated page."""
    return {
        FOLDER / "cli.md": page(),
        FOLDER / "resources.md": resources.page(),
        FOLDER / "conditions.md": resources.conditions_page(),
    }


def page() -> str:
    """The page of the command, in Markdown."""
    lines = [HEAD]
    for section, names in sections().items():
        lines += [f"## {section}", ""]
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
        yield COMMANDS[name].summary
        for nested_name, nested in inner.items():
            if not nested.hidden:
                yield ""
                yield from _one(f"{title} {nested_name}", nested, name)
        return
    arguments, options = (
        [parameter for parameter in command.params if parameter.param_type_name == kind]
        for kind in ("argument", "option")
    )
    words = [title, "[OPTIONS]" if options else "", *map(_metavar, arguments)]
    yield f"```text\n{' '.join(filter(None, words))}\n```"
    yield ""
    yield from _help(command.help or "")
    yield from _table(arguments, options)


def _help(text: str) -> Iterator[str]:
    """The help text of a command, with its examples as code blocks."""
    for paragraph in text.replace("\b\n", "").split("\n\n"):
        if not paragraph.strip():
            continue
        head, _, rest = paragraph.partition("\n")
        if head.startswith("Example"):
            example = "\n".join(line.strip() for line in rest.splitlines())
            yield f"{head}\n\n```text\n{example}\n```\n"
        else:
            yield f"{' '.join(paragraph.split())}\n"


def _table(arguments: Sequence[Parameter], options: Sequence[Parameter]) -> Iterator[str]:
    yield "| argument or option | default | description |"
    yield "|---|---|---|"
    for argument in arguments:
        text = getattr(argument, "help", None) or ""
        yield f"| `{_metavar(argument)}` | {'required' if argument.required else ''} | {text} |"
    for option in options:
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
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
    plain = getattr(value, "value", value)
    return f"`{', '.join(map(str, plain)) if isinstance(plain, (list, tuple)) else plain}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def outdated(root: Path, pages: Mapping[Path, str]) -> list[Path]:
    """The paths of pages that are missing or differ from the generated text."""
    return [
        path
        for path, text in pages.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Write or check the pages; returns 1 if a check found an outdated page."""
    check, pages = "--check" in arguments, files()
    changed = outdated(Path(), pages)
    for path in changed:
        if not check:
            path.write_text(pages[path], encoding="utf-8")
        print(f"{path} is out of date: run `make generate`" if check else f"wrote {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
