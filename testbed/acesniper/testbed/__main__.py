"""What `make` asks of the testbed before it can start anything.

python -m acesniper.testbed toolchain      ends with 0 when a Go compiler that is new enough exists
python -m acesniper.testbed control-plane  builds the programs if need be, and prints their folder
python -m acesniper.testbed tools FOLDER   puts kubectl, helm and promtool into FOLDER
python -m acesniper.testbed stores         builds the stores for models, and prints their folder
python -m acesniper.testbed chart          writes the chart's generated files anew
python -m acesniper.testbed chart --check  ends with 1 when that would change anything
python -m acesniper.testbed images         builds the images with buildah, and prints their sizes
"""

import sys
from pathlib import Path

from acesniper.testbed.chart import generated as chart
from acesniper.testbed.errors import TestbedError
from acesniper.testbed.go_build import find_go
from acesniper.testbed.images import build_images
from acesniper.testbed.programs import KUBERNETES, ensure_binaries, ensure_stores, install_tools


def main(argv: list[str]) -> str:
    """Do what `argv` says and return what to print."""
    match argv:
        case ["toolchain"]:
            return str(find_go(KUBERNETES))
        case ["control-plane"]:
            return str(ensure_binaries())
        case ["tools", folder]:
            return "\n".join(map(str, install_tools(Path(folder))))
        case ["stores"]:
            return str(ensure_stores())
        case ["chart"]:
            return "\n".join(f"wrote {each}" for each in chart.write())
        case ["chart", "--check"]:
            if changed := chart.drift():
                sys.exit("\n".join(f"differs {each}; run `make generate`" for each in changed))
            return "the chart's generated files are up to date"
        case ["images"]:
            return "\n".join(build_images())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{main(sys.argv[1:])}\n")
    except TestbedError as error:
        sys.exit(str(error))
