"""Wire shapes: the resources, the extender protocol, and their conversion to the domain."""
