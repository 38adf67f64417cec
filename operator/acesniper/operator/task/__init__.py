"""Reconciliation of InferenceTasks; `lifecycle` decides, `reconciler` acts."""
