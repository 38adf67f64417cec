"""The life of our custom resources (kopf)."""
