"""Faults, injected on a real control plane, and what must hold after each."""
