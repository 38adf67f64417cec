"""The networks of the atlas, shipped as graphs without weights in one archive."""

import json
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypedDict

INDEX = "index.json"


class Entry(TypedDict):
    """What the index says of a network; `flops` as torch counted them, 0 where it did not."""

    file: str
    family: str
    flops: float
    parameters: int
    shapes: dict[str, int]


def archive() -> Path:
    """The archive beside this module: an ONNX file for each network, and index.json."""
    return Path(str(files("acesniper.predictor.atlas") / "networks.zip"))


@cache
def index(path: Path | None = None) -> Mapping[str, Entry]:
    """The networks by name."""
    with zipfile.ZipFile(path or archive()) as content:
        found: Mapping[str, Entry] = json.loads(content.read(INDEX))
    return found


def unpacked(folder: Path, path: Path | None = None) -> Path:
    """Unpack all networks and the index into `folder`, and return it."""
    with zipfile.ZipFile(path or archive()) as content:
        for name in (INDEX, *(entry["file"] for entry in index(path).values())):
            (folder / name).write_bytes(content.read(name))
    return folder


def pack(folder: Path, target: Path) -> None:
    """Write the archive from a folder of weightless graphs, each with a NAME.json of its facts."""
    entries = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as content:
        for path in sorted(folder.glob("*.onnx")):
            facts = json.loads(path.with_suffix(".json").read_text())
            wanted = {name: facts[name] for name in ("family", "flops", "parameters")}
            entries[path.stem] = {"file": path.name, **wanted, "shapes": {}}
            content.writestr(_dated(path.name), path.read_bytes())
        content.writestr(_dated(INDEX), json.dumps(entries, indent=1))


def _dated(name: str) -> zipfile.ZipInfo:
    """An entry without a time of its own, so that the same networks give the same archive."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_LZMA
    return entry
