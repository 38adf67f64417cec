"""PCN, the performance characterization network: from a model and a device to a latency.

`inputs` turns both into arrays; `modules` and `network` are the network itself (torch); `training`
fits it to the atlas and `export` writes it as ONNX; `serving` needs onnxruntime only.
"""
