"""Whose turn it is: one file per order, each with a function `order`.

An order gives every waiting task a key: smaller goes first. Adding one is one new file here; its
name, with `-` for `_`, is what people choose it by.
"""

from collections.abc import Callable

from acesniper.policies.discovery import discovered
from acesniper.policies.estimates import Floats

Order = Callable[[Queue], Floats]

ORDERS: dict[str, Order] = discovered(__path__, __name__, "order")
