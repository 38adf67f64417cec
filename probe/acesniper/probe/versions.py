"""Name and version of the probe suite: apart from the suite, which needs onnx to be read."""

SUITE = "hrm"
VERSION = "2"
