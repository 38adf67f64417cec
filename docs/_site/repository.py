"""Links to files of the repository outside `docs/`: shown as their path, and checked.

Pages are read in the repository, too, where such a link leads to the file. The built site has no
copy of it, and does not know where the repository is published.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\n]+)\]\((?P<target>[^)#\s:]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def outside(text: str, page: Path, docs: Path) -> tuple[str, list[str]]:
    """The text with links out of `docs` as paths, and the targets that do not exist."""
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
    """Sphinx's event for the text of a page."""
    page = Path(app.env.doc2path(name))
    source[0], missing = outside(source[0], page, Path(app.srcdir).resolve())
    for each in missing:
        log.warning("there is no file %s", each, location=name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen to the event."""
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
