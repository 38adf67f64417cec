"""A Chromium without a screen from Debian's package, with a typeface, for tests of the page."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acesniper.testbed import packages
from acesniper.testbed.cache import cache_root, ensure_folder

PACKAGES = ("chromium-headless-shell", "fonts-inter")
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/usr/share/fonts</dir>
  <cachedir>{folder}/fontcache</cachedir>
  <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Chromium:
    """The program, and what its environment needs where it was only unpacked."""

    program: Path
    environment: Mapping[str, str]


def ensure() -> Chromium:
    """Chromium from the cache, fetched when it is not there.

    Raises BinariesMissing where apt or the package is absent.
    """
    key = f"chromium-{packages.debian_release()}"
    folder = ensure_folder(
        cache_root() / "tools" / key, lambda empty: packages.unpack_debian(PACKAGES, empty)
    )
    fonts = folder / "fonts.conf"
    if not fonts.is_file():
        fonts.write_text(FONTS.format(folder=folder))
    libraries = sorted({str(each.parent) for each in folder.glob("usr/lib/*-linux-gnu*/**/*.so*")})
    environment = {
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
        "FONTCONFIG_FILE": str(fonts),
    }
    return Chromium(folder / "usr/lib/chromium/chromium-headless-shell", environment)
