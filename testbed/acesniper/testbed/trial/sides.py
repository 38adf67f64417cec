"""Who competes: each in a namespace of its own, on the same nodes, one after the other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """`prefix` stands before a model's name where its predictions are looked up."""

    namespace: str
    prefix: str = ""
    ours: bool = True


OURS = Contender("ours")
ORACLE = Contender("oracle", "true-")
"""Our scheduler, told the true latencies."""
STOCK = Contender("stock", ours=False)

CONTENDERS = (OURS, ORACLE, STOCK)
