"""The cells of NAS-Bench-201 as operators.

A cell has four points and six edges, each with an operation; fifteen cells in three stages make the
network (Dong and Yang, "NAS-Bench-201", ICLR 2020). What does not lie on a way from the first point
to the last is dead: a runtime that optimises drops it, another runs it all the same. Dead edges are
operators of kinds of their own, so that each device shows which it does.
"""

from acesniper.predictor.tables.operators import TraitOperator, operator

CELL_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From which point to which, in the order of the six digits."""

NONE, SKIP = "0", "1"
CELL_KINDS = {SKIP: "skip", "2": "conv1x1", "3": "conv3x3", "4": "pool"}
CELL_KERNELS = {"skip": 0, "conv1x1": 1, "conv3x3": 3, "pool": 3}
CELL_STAGES = ((32, 16), (16, 32), (8, 64))
"""Width of the image in pixels and channels of each stage, of five cells each."""


def cell_operators(digits: str) -> tuple[tuple[TraitOperator, ...], dict[str, float]]:
    """The operators of the network built of this cell, and what describes its shape."""
    live = _live_edges(digits)
    found = []
    for edge, digit in live:
        kind = CELL_KINDS[digit]
        for size, channels in CELL_STAGES:
            found.append(_edge_operator(kind, size, channels))
        if edge[0] == 0:
            found.append(operator(f"first {kind}", 5.0, flops=1.0))
    sums = sum(max(0, sum(edge[1] == point for edge, _ in live) - 1) for point in (1, 2, 3))
    found += [operator("sum", 5.0 * sums, written=s * s * c) for s, c in CELL_STAGES if sums]
    dead = [(edge, digit) for edge, digit in zip(CELL_EDGES, digits, strict=True)]
    dead = [each for each in dead if each not in live]
    found += [_dead_operator(digit, *stage) for _, digit in dead for stage in CELL_STAGES]
    heavy = {edge: float(CELL_KERNELS[CELL_KINDS[digit]]) for edge, digit in live}
    values = {f"edge{a}{b}={digit}": 1.0 for (a, b), digit in live}
    values |= {f"dead{a}{b}={digit}": 1.0 for (a, b), digit in dead}
    return tuple(found), {**values, "depth": _depth(heavy), "convolutions": _convolutions(live)}


def _edge_operator(kind: str, size: int, channels: int) -> TraitOperator:
    kernel = CELL_KERNELS[kind]
    weights = kernel**2 * channels**2 if kind.startswith("conv") else 0
    pixels = size * size * channels
    flops = weights * size * size if weights else pixels * kernel**2
    return operator(
        kind, 5.0, flops=flops, read=pixels, written=pixels, weights=weights, kernel=kernel
    )


def _dead_operator(digit: str, size: int, channels: int) -> TraitOperator:
    each = _edge_operator(CELL_KINDS.get(digit, "skip"), size, channels)
    return TraitOperator(f"dead {CELL_KINDS.get(digit, 'none')}", each.sizes, each.count)


def _live_edges(digits: str) -> list[tuple[tuple[int, int], str]]:
    """The edges on a way from the first point to the last."""
    edges = [(e, d) for e, d in zip(CELL_EDGES, digits, strict=True) if d in CELL_KINDS]
    ahead, behind = {0}, {3}
    for (start, end), _ in sorted(edges, key=lambda each: each[0][1]):
        if start in ahead:
            ahead.add(end)
    for (start, end), _ in sorted(edges, key=lambda each: -each[0][0]):
        if end in behind:
            behind.add(start)
    return [(e, d) for e, d in edges if e[0] in ahead and e[1] in behind]


def _depth(edges: dict[tuple[int, int], float]) -> float:
    """The most edges with a kernel one after the other."""
    longest = [0.0] * 4
    for (start, end), kernel in sorted(edges.items(), key=lambda each: each[0][1]):
        longest[end] = max(longest[end], longest[start] + (kernel > 0))
    return longest[3]


def _convolutions(live: list[tuple[tuple[int, int], str]]) -> float:
    return float(sum(CELL_KINDS[digit].startswith("conv") for _, digit in live))
