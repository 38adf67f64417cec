"""Scheduling policies: pure functions shared by planner, operator and simulator.

Rule: the standard library, numpy and `acesniper.domain` only; no I/O and no clock (docs/adr/0009).
"""
