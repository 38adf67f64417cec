"""What a cluster would do: the scheduler's own policies and ledger on measured latencies.

A table of measured latencies is the truth; what the scheduler believes is that truth, the truth
with an error, or what a predictor says of devices it knows a few readings of. Discrete events, no
clock: the same seed gives the same result. Only `selection` and `arrivals` are given files.
"""
