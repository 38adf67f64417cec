# ruff: noqa: INP001 (a program and its modules, not a package)
"""Write the example networks into this folder: `python examples/models/generate.py`.

`index.json` lists each with its SHA-256, the values of its symbolic dimensions and its published
multiply-accumulates (in millions, for batch 1), if there is a published number.
"""

import hashlib
import json
from pathlib import Path

import onnx
from networks import NETWORKS

from acesniper.probe.graph_builder import GraphBuilder

HERE = Path(__file__).parent
# Millions of multiply-accumulates: torchvision's documentation of its weights, else the papers.
PUBLISHED = {
    "alexnet": 714,
    "vgg11": 7609,
    "resnet18": 1814,
    "resnet50": 4089,
    "mobilenet_v2": 301,
    "mobilenet_v3_small": 57,
    "squeezenet1_1": 349,
    "shufflenet_v2": 145,
    "efficientnet_b0": 386,
    "googlenet": 1498,
    "densenet121": 2834,
}
SHAPES = {"bert_tiny": {"sequence": 128}}


def write(folder: Path) -> dict[str, object]:
    """Write every network to `folder` and return the index."""
    index: dict[str, object] = {}
    for network in NETWORKS:
        name = network.__name__
        model = network(GraphBuilder(name))
        onnx.checker.check_model(model)
        data = model.SerializeToString(deterministic=True)
        (folder / f"{name}.onnx").write_bytes(data)
        index[name] = {
            "file": f"{name}.onnx",
            "title": (network.__doc__ or name).strip().rstrip("."),
            "sha256": hashlib.sha256(data).hexdigest(),
            "shapes": SHAPES.get(name, {}),
            "published_mmacs": PUBLISHED.get(name),
        }
    return index


def main() -> None:
    """Write the networks and their index here."""
    index = write(HERE)
    (HERE / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
