"""Discrete-event simulation of a cluster: our policies and reservations on measured latencies.

A table of measured latencies is the ground truth. The scheduler plans with that truth, with the
truth plus an error, or with predictions for devices of which it knows a few readings. There is no
clock: equal seeds give equal results. Only `cluster` and `workload` read files.
"""
