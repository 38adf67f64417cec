"""What Ace-Sniper thinks about, without any I/O.

Rule: modules here import the standard library only (a contract in pyproject.toml holds it). Units
stand in the names (`duration_s`, `memory_bytes`); a clock is passed in, never read.
"""
