"""In-memory state of the cluster, from which plans and scheduler responses are computed.

It is filled by watch events (`acesniper.extender.watch_events`), read and changed on one event
loop, and performs no I/O.
"""
