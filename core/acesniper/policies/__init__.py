"""The rules of order and placement: pure functions shared by planner, operator and simulator.

Rule: the standard library and `acesniper.domain` only.
"""
