"""Networks of the atlas: ONNX graphs without weights, shipped in one archive.

`python -m acesniper.predictor.atlas.networks [FOLDER]` writes the predictor's library: the features
of these networks, or of those in FOLDER (ONNX files and an `index.json` with the sizes of their
symbolic dimensions). The library depends on the operator classes: rebuild it whenever
FEATURES_VERSION changes.
"""

import json
import lzma
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypedDict

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.predictor.similarity import LIBRARY_FILE

INDEX = "index.json"


class NetworkEntry(TypedDict):
    """What the index says of a network; `flops` as torch counted them, 0 where it did not."""

    file: str
    family: str
    flops: float
    parameters: int
    shapes: dict[str, int]


def archive() -> Path:
    """Path of the shipped archive: an ONNX file for each network, and index.json."""
    return Path(str(files("acesniper.predictor.atlas") / "networks.zip"))


@cache
def network_index(path: Path | None = None) -> Mapping[str, NetworkEntry]:
    """The networks by name."""
    with zipfile.ZipFile(path or archive()) as content:
        found: Mapping[str, NetworkEntry] = json.loads(content.read(INDEX))
    return found


def unpack(folder: Path, path: Path | None = None) -> Path:
    """Unpack all networks and the index into `folder`, and return it."""
    with zipfile.ZipFile(path or archive()) as content:
        for name in (INDEX, *(entry["file"] for entry in network_index(path).values())):
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


def build_library(folder: Path) -> dict[str, object]:
    """Library of the networks in `folder`."""
    entries = json.loads((folder / INDEX).read_text())
    networks = {
        name: library_entry(read_model(folder / entry["file"], shapes=entry["shapes"]))
        for name, entry in entries.items()
    }
    return {"features_version": FEATURES_VERSION, "networks": networks}


def library_entry(model: ModelFeatures) -> dict[str, object]:
    """Library entry of a network: non-zero features, to four significant digits."""
    return {
        "values": {name: float(f"{value:.4g}") for name, value in model.values.items() if value},
        "flops": model.flops,
        "bytes_moved": model.bytes_moved,
        "parameters": model.parameters,
        "peak_memory_bytes": model.peak_memory_bytes,
        "operators": dict(model.operators),
        "similar": {},
        "labels": dict(model.labels),
    }


def main() -> None:
    """Write the library into the predictor package."""
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(sys.argv[1]) if sys.argv[1:] else unpack(Path(empty))
        text = json.dumps(build_library(folder), separators=(",", ":"), sort_keys=True)
    (Path(str(files("acesniper.predictor"))) / LIBRARY_FILE).write_bytes(
        lzma.compress(text.encode(), preset=9)
    )


if __name__ == "__main__":
    main()
