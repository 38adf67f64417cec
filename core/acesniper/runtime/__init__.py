"""Adapters to the outside: the cluster, settings, logs, metrics."""
