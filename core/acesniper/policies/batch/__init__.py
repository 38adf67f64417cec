"""Where waiting tasks go, decided for all of them as a whole.

One file per rule, each with a function `assign`: it yields (task, lane) in the order in which tasks
take their places, and may be stopped early. Adding one is one new file here; its name, with `-` for
`_`, is what people choose it by.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from acesniper.policies.discovery import discovered
from acesniper.policies.estimates import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Waiting tasks, first come first.

    `busy_s` of shape (tasks, lanes): how long each would occupy each lane, infinite where it cannot
    run; `free_s` of shape (lanes,): seconds until each is free; `age_s` of shape (tasks,).
    """

    busy_s: Floats
    free_s: Floats
    age_s: Floats


BatchRule = Callable[[Batch], Iterator[tuple[int, int]]]

BATCHES: dict[str, BatchRule] = discovered(__path__, __name__, "assign")
