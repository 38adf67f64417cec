"""Serves the example models over HTTP, as a model store would."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from acesniper.api.names import API_VERSION
from acesniper.api.v1alpha1 import ModelSource
from acesniper.testbed.demo.examples import object_name

Json = dict[str, object]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of 127.0.0.1; yields its URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="models", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def model_sources(models: Sequence[Path], url: str) -> dict[str, ModelSource]:
    """Where each model is and which bytes it is, by object name."""
    return {
        object_name(path.stem): ModelSource(
            uri=f"{url}/{path.name}", sha256=hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in models
    }


def model_profile_list(
    found: Mapping[str, ModelSource], shapes: Mapping[str, Mapping[str, int]], namespace: str
) -> Json:
    """A List of ModelProfiles to apply; `shapes` binds symbolic dimensions, by object name."""
    items = [
        {
            "apiVersion": API_VERSION,
            "kind": "ModelProfile",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "source": source.model_dump(by_alias=True, exclude_none=True),
                "inputShapes": dict(shapes.get(name, {})),
            },
        }
        for name, source in found.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}
