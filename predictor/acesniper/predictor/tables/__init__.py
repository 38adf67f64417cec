"""Predict the cells of a latency table: models nobody ran here, devices known by k readings.

A table holds the measured latency of models on devices. Of a new device only the latencies of a
few reference models are known; of a new model only its features. `prediction` fills three kinds
of unknown cells: P1 (known model, new device), P2 (new model, known device), P3 (both new).
`completion` over devices answers P1; `extension` over models, on physics from `costs`, P2 and P3;
`rehearsal` finds out how far both can be trusted, and `intervals` says so.
Pure functions over arrays; only `table` and the readers under `features` open files.
"""
