"""The atlas: networks of known families, and their latencies on measured platforms."""
