"""PCN, the performance characterization network: predicts latencies from models and devices.

Serving (numpy and onnxruntime): `inputs` converts models and devices to arrays, `batching` caches
and groups them, `network_file` runs the exported network, `posterior` corrects its predictions by
observations, `conformal` gives the width of intervals, and `serve` is the predictor.
Training (torch): `model` is the network, `gp` the posterior in torch, `dataset` the atlas as
tensors, `train` fits, `export` writes the file, `fleet_runs` and `compare` retrain on a cluster's
runs, and `evaluation` measures accuracy on hidden models and devices.
"""
