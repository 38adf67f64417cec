"""Replays a simulated workload on a real control plane: ours, an oracle, the stock scheduler."""
