"""Comparison of the feasibility rules with the real kube-scheduler."""
