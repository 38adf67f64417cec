"""Adapters: Kubernetes API, settings, logs, metrics and file downloads."""
