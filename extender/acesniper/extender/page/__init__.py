"""The page: what the fleet does and why, read-only, in a browser."""
