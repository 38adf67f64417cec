"""The domain: tasks, devices, models, predictions and reservations, without any I/O.

Rule: modules here import the standard library only (a contract in pyproject.toml holds it). Units
are part of names (`duration_s`, `memory_bytes`); a clock is passed in, never read.
"""
