"""Who competes: each in a namespace of its own, on the same nodes, one after the other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Side:
    """`prefix` stands before a model's name where its predictions are looked up."""

    namespace: str
    prefix: str = ""
    ours: bool = True


OURS = Side("ours")
ORACLE = Side("oracle", "true-")
"""Our scheduler, told the true latencies."""
STOCK = Side("stock", ours=False)

SIDES = (OURS, ORACLE, STOCK)
