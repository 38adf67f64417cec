"""Sphinx extension for links to files outside `docs/`: checks them and shows them as paths.

In the repository such links lead to the file. The built site contains no copy of it and does not
know the address of the repository.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\n]+)\]\((?P<target>[^)#\s:]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def outside(text: str, page: Path, docs: Path) -> tuple[str, list[str]]:
    """Return the text with links to outside of `docs` as paths, and the missing targets."""
    missing = []
    fences = [match.span() for match in FENCE.finditer(text)]

    def shown(match: re.Match[str]) -> str:
        target = (page.parent / match["target"]).resolve()
        quoted = any(begin <= match.start() < end for begin, end in fences)
        if quoted or target.is_relative_to(docs):
            return match[0]
        if not target.exists():
            missing.append(match["target"])
        path = str(target).removeprefix(f"{docs.parent}/")
        return f"`{path}`" if path.endswith(match["text"].strip("`")) else match["text"]

    return LINK.sub(shown, text), missing


def on_read(app: Sphinx, name: str, source: list[str]) -> None:
    """Handle Sphinx's event `source-read` for a page."""
    page = Path(app.env.doc2path(name))
    source[0], missing = outside(source[0], page, Path(app.srcdir).resolve())
    for path in missing:
        log.warning("file not found: %s", path, location=name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler."""
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
