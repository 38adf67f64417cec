"""Predict unmeasured cells of a latency table; used by `acesniper evaluate --table`.

A table holds measured latencies of models on devices. Of a new device only the latencies of a few
reference models are known; of a new model only its features. `predict` fills three kinds of
unknown cells: P1 (known model, new device), P2 (new model, known device), P3 (both new).
`device_transfer` answers P1; `model_transfer` answers P2 and P3 on the operator costs of
`operators`; `validation` estimates the errors of both on known cells. Pure functions over arrays;
only `measurements`, `model_sources` and `ncnn` read files.
"""
