"""The known networks, and how to make their file: `python -m acesniper.predictor.similarity`.

They are those of the atlas, or those of a folder that is given: ONNX files and an `index.json` that
names them with the sizes of their symbolic dimensions. Labels depend on the classes, so the file
belongs to one FEATURES_VERSION.
"""

import json
import lzma
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.networks import unpacked
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.predictor.similarity import likeness

FILE = "library.json.xz"
KEPT = 5
"""Nearest networks reported; the rest says nothing more."""


WORDS = ((0.15, "known"), (0.45, "near"), (0.65, "far"))
FOREIGN = "foreign"
"""Words for distances up to a bound. Among the networks of the atlas, half have a relative within
0.09; with the own family left out half lie within 0.44, and nine in ten within 0.66."""


@cache
def known_networks() -> Mapping[str, ModelFeatures]:
    """The known networks by name; none where they were read by another version."""
    content = json.loads(lzma.decompress((files("acesniper.predictor") / FILE).read_bytes()))
    if content["features_version"] != FEATURES_VERSION:
        return {}
    return {
        name: ModelFeatures(FEATURES_VERSION, **entry)
        for name, entry in content["networks"].items()
    }


def nearest(model: ModelFeatures) -> dict[str, float]:
    """The known networks most like a model, nearest first."""
    known = known_networks()
    if not known:
        return {}
    (scores,) = likeness([model], list(known.values()))
    best = sorted(zip(known, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:KEPT]
    return {name: round(float(score), 4) for name, score in best if score > 0}


def distance_word(distance: float) -> str:
    """How far a model is from everything known, as a word."""
    return next((word for bound, word in WORDS if distance <= bound), FOREIGN)


def build(folder: Path) -> dict[str, object]:
    """The library of the networks in `folder`."""
    index = json.loads((folder / "index.json").read_text())
    networks = {
        name: entry_of(read_model(folder / entry["file"], shapes=entry["shapes"]))
        for name, entry in index.items()
    }
    return {"features_version": FEATURES_VERSION, "networks": networks}


def entry_of(model: ModelFeatures) -> dict[str, object]:
    """What the library keeps of a network: four digits, and nothing that is zero."""
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
    """Write the library beside this module."""
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(sys.argv[1]) if sys.argv[1:] else unpacked(Path(empty))
        text = json.dumps(build(folder), separators=(",", ":"), sort_keys=True)
    Path(__file__).with_name(FILE).write_bytes(lzma.compress(text.encode(), preset=9))


if __name__ == "__main__":
    main()
