"""onnxruntime's WebAssembly build in Node.js, as browsers run it.

Needs `node` and the npm package onnxruntime-web; ACESNIPER_NODE_PACKAGES names the folder that
contains `node_modules`. The model runs in a child process; latencies include the pipe in both
directions.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidInput, InvalidModel
from acesniper.probe.runtimes import Feeds, Input, Runtime, RuntimeOptions
from acesniper.probe.runtimes.onnx_model import inputs_of, with_initializers

FOLDER = "ACESNIPER_NODE_PACKAGES"
PACKAGE = Path("node_modules") / "onnxruntime-web"


class Worker:
    """Child process that runs a model, and the frames exchanged with it."""

    def __init__(self, folder: Path, threads: int) -> None:
        script = str(files("acesniper.probe.runtimes") / "web_worker.mjs")
        command = ["node", script, str(folder.resolve()), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def request(
        self, head: Mapping[str, object], parts: Sequence[bytes] = ()
    ) -> tuple[dict[str, list[object]], list[bytes]]:
        """Head and bytes of the response to a request. Raises InvalidModel (Unloadable)."""
        text = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
        assert self._process.stdin is not None  # noqa: S101 (a pipe was requested)
        try:
            for frame in (len(text).to_bytes(4, "little"), text, *parts):
                self._process.stdin.write(frame)
            self._process.stdin.flush()
            length = int.from_bytes(self._exactly(4), "little")
            response = json.loads(self._exactly(length))
            data = [self._exactly(size) for size in response["sizes"]]
        except (BrokenPipeError, EOFError) as error:
            raise InvalidModel("Unloadable", "onnxruntime-web exited unexpectedly") from error
        if "error" in response:
            raise InvalidModel("Unloadable", f"onnxruntime-web cannot run it: {response['error']}")
        return response, data

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.communicate()

    def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 (a pipe was requested)
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data


class WebSession:
    """A loaded model in the child; the same feeds are sent once."""

    def __init__(self, worker: Worker, inputs: Sequence[Input], outputs: Sequence[str]) -> None:
        self._worker = worker
        self._outputs = outputs
        self._fed: Feeds | None = None
        self.inputs = inputs

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """Run once."""
        if feeds is self._fed:
            head, parts = self._worker.request({"kind": "run"})
        else:
            head, parts = self._worker.request(
                {
                    "kind": "feed",
                    "names": list(feeds),
                    "types": [str(values.dtype) for values in feeds.values()],
                    "shapes": [list(values.shape) for values in feeds.values()],
                },
                [values.tobytes() for values in feeds.values()],
            )
            self._fed = feeds
        arrays = [
            np.frombuffer(part, dtype=str(kind)).reshape(shape)
            for part, kind, shape in zip(parts, head["types"], head["shapes"], strict=True)
        ]
        return dict(zip(self._outputs, arrays, strict=True))

    def __del__(self) -> None:
        """End the child with its session."""
        self._worker.close()


class OnnxRuntimeWeb:
    """onnxruntime-web: SIMD in WebAssembly."""

    name = "onnxruntime-web"
    provider = "wasm"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.version: str = json.loads((folder / PACKAGE / "package.json").read_text())["version"]

    def load(self, model: bytes, options: RuntimeOptions) -> WebSession:
        """Load in a child process of its own."""
        plain = with_initializers(model)
        worker = Worker(self._folder, options.threads)
        try:
            worker.request(
                {"kind": "load", "optimise": options.optimise}, [plain.SerializeToString()]
            )
        except InvalidModel:
            worker.close()
            raise
        return WebSession(worker, inputs_of(plain), [output.name for output in plain.graph.output])


def make() -> Runtime:
    """The runtime. Raises InvalidInput if its package is missing."""
    folder = Path(os.environ.get(FOLDER, "."))
    if not (folder / PACKAGE / "package.json").is_file():
        raise InvalidInput(
            f"{PACKAGE} not found in {folder}: run npm install onnxruntime-web, and set the folder"
            f" in {FOLDER}"
        )
    return OnnxRuntimeWeb(folder)
