"""Software that runs on a device: the probe suite that measures it, and the runner of models."""

SUITE = "hrm"
VERSION = "2"
"""Name and version of the probe suite; here, because reading the suite itself needs `onnx`."""
