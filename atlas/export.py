"""Export the networks of the atlas: `python atlas/export.py FOLDER [--only NAME ...]`.

Needs torch, timm, torchvision, transformers, onnxslim. Each network becomes an ONNX file without
its large weights (`acesniper.predictor.onnx.strip_weights`); NAME.json has family and FLOPs as
torch counts them. A network that cannot be exported is named and left out.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import onnx
import onnxslim
import torch
from torch.utils.flop_counter import FlopCounterMode
from zoo import Network, networks

from acesniper.predictor.onnx.strip_weights import strip_weights

OPSET = 17


def export(network: Network) -> tuple[onnx.ModelProto, dict[str, object]]:
    """Return the simplified graph, and its family, FLOPs and parameters."""
    torch.manual_seed(0)
    module, inputs = network.make()
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs.values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path)
    slim = onnxslim.slim(model)
    facts = {
        "family": network.family,
        "flops": counter.get_total_flops(),
        "parameters": sum(p.numel() for p in module.parameters()),
    }
    return slim, facts


def main() -> None:
    """Export all, or those named."""
    parser = argparse.ArgumentParser(description="Export the networks of the atlas.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--part", default="0/1", help="I/N: every N-th network from the I-th on")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")  # tracing warns about every branch of a network
    arguments.folder.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, arguments.part.split("/"))
    for network in [n for n in networks() if not arguments.only or n.name in arguments.only][
        part::parts
    ]:
        target = arguments.folder / f"{network.name}.onnx"
        if target.exists() and not arguments.only:
            continue
        start = time.monotonic()
        try:
            model, facts = export(network)
        except Exception as error:  # a network that cannot be exported does not affect others
            sys.stderr.write(f"{network.name}: {type(error).__name__}: {str(error)[:200]!r}\n")
            continue
        onnx.save(strip_weights(model), target)
        target.with_suffix(".json").write_text(
            json.dumps({**facts, "nodes": len(model.graph.node)})
        )
        sys.stderr.write(
            f"{network.name}: {len(model.graph.node)} nodes, {time.monotonic() - start:.0f} s\n"
        )


if __name__ == "__main__":
    main()
