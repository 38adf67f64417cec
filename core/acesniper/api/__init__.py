"""API types: the custom resources, annotations and messages, and their conversion to the domain."""
