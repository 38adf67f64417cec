"""Reads models and predicts their latency on devices neither has met before."""
