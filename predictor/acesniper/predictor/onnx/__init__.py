"""Reading of ONNX graphs: from a model file, opened in a sandbox, to its features."""
