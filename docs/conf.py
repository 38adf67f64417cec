"""Sphinx configuration of `make docs`: MyST for Markdown, the theme Furo.

Every warning is an error, such as a broken link or a page outside all tables of contents. The pages
load no external resources, so they can be opened from the file system.
"""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_site"))

project = "Ace-Sniper"
author = "the authors of Ace-Sniper"
version = release = installed("acesniper")

extensions = ["myst_parser", "sphinx_copybutton", "mathematics", "repository"]
exclude_patterns = ["_site", "Thumbs.db", ".DS_Store"]
nitpicky = True

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4

html_show_copyright = False
html_theme = "furo"
html_title = "Ace-Sniper"
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "github-dark"

copybutton_exclude = ".linenos, .gp, .go"
"""Excludes prompts and output of console blocks from copying."""
