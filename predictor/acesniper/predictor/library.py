"""Make `library.json`, the known networks: `python -m acesniper.predictor.library FOLDER`.

FOLDER holds ONNX files and an `index.json` that names them with the sizes of their symbolic
dimensions. Labels depend on the classes, so the file belongs to one FEATURES_VERSION.
"""

import json
import sys
from pathlib import Path

from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.reader import read_histogram


def build(folder: Path) -> dict[str, object]:
    """The library of the networks in `folder`."""
    index = json.loads((folder / "index.json").read_text())
    networks = {
        name: read_histogram(folder / entry["file"], shapes=entry["shapes"])
        for name, entry in index.items()
    }
    return {"features_version": FEATURES_VERSION, "networks": networks}


def main() -> None:
    """Write the library beside this module."""
    content = build(Path(sys.argv[1]))
    target = Path(__file__).with_name("library.json")
    target.write_text(json.dumps(content, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
