"""Read the traits of models from files: ONNX, ncnn, lists of operators, columns of a CSV file.

A CSV file may hold a row per model, a list of operators in the form of Li et al., "Predicting the
latency of neural networks on mobile devices" (github.com/qed-usc/mobile-ml-benchmark), or cells of
NAS-Bench-201 (Dong and Yang, ICLR 2020): four points and six edges, each with an operation; fifteen
cells in three stages make the network. Edges of a cell that lie on no path from the first point to
the last are dead: some runtimes drop them, others run them, so they have operator kinds of their
own.
"""

import ast
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidInput, InvalidModel
from acesniper.predictor.features import CLASSES
from acesniper.predictor.onnx.bind import applicable_shapes
from acesniper.predictor.onnx.graph import parse_model
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.predictor.tables.measurements import joined_name, name_group, read_rows
from acesniper.predictor.tables.model_kernel import name_pieces
from acesniper.predictor.tables.ncnn import read_ncnn_param
from acesniper.predictor.tables.operators import ModelTraits, TraitOperator, operator

log = logging.getLogger(__name__)


def read_features(
    path: Path,
    model_columns: Sequence[str] = ("model",),
    shapes: Mapping[str, int] | None = None,
    left_out: Callable[[str], None] = log.warning,
) -> dict[str, ModelTraits]:
    """The features of every model a file or folder describes, by the model's name.

    A folder holds `.onnx`, `.param` (ncnn) and `.csv` files; an ONNX file in it that cannot be read
    is reported to `left_out`. A CSV file is either a list of operators (columns `operation` and
    `feature`) or has a row per model: its numbers are taken as they are, unless they differ between
    rows of one model; a column `ops` of six digits is a cell of NAS-Bench-201. Of several model
    columns a file may lack all but the first. `shapes` are sizes of dimensions that ONNX files
    leave open. Raises InvalidInput.
    """
    if path.is_dir():
        found: dict[str, ModelTraits] = {}
        for file in sorted(file for file in path.iterdir() if file.is_file()):
            if file.name.endswith((".onnx", ".param", ".csv", ".csv.gz")):
                try:
                    _merge(found, read_features(file, model_columns, shapes))
                except InvalidModel as error:
                    left_out(f"{file} is left out: {error}")
        return found
    if not path.exists():
        raise InvalidInput(f"there is no file {path}")
    if path.suffix == ".onnx":
        return {path.stem: onnx_traits(path, shapes)}
    if path.suffix == ".param":
        return {path.stem: ModelTraits(read_ncnn_param(path))}
    return _csv(path, model_columns)


def aligned(found: Mapping[str, ModelTraits], models: Sequence[str]) -> list[ModelTraits]:
    """The features of each model of a table, in its order.

    A model whose name joins several columns may be described by the first alone. One that nothing
    describes borrows from the model with the most alike name.
    """
    direct = [found.get(name) or found.get(name_group(name)) for name in models]
    if not any(direct):
        raise InvalidInput("the features describe none of the table's models")
    described = [i for i, own in enumerate(direct) if own is not None]
    pieces = name_pieces(models)
    result = []
    for i, traits in enumerate(direct):
        nearest = described[int(np.argmax(pieces[described] @ pieces[i]))]
        result.append(traits or direct[nearest] or ModelTraits())
    return result


def onnx_traits(path: Path, shapes: Mapping[str, int] | None = None) -> ModelTraits:
    """One operator per class of the graph, with the mean sizes of its nodes."""
    features = read_model(
        path, shapes=applicable_shapes(parse_model(path), shapes) if shapes else None
    )
    operators = []
    for kind in CLASSES:
        nodes = features.values[f"{kind}.nodes"]
        if nodes:
            flops, moved = (
                features.values[f"{kind}.{measure}"] / nodes for measure in ("flops", "bytes")
            )
            operators.append(operator(kind, nodes, flops=flops, read=moved / 8, written=moved / 8))
    totals = {"flops": features.flops, "parameters": features.parameters}
    return ModelTraits(tuple(operators), totals)


def _csv(path: Path, model_columns: Sequence[str]) -> dict[str, ModelTraits]:
    rows = read_rows(path)
    if not rows or model_columns[0] not in rows[0]:
        raise InvalidInput(f"{path} has no {f'column {model_columns[0]}' if rows else 'row'}")
    model_columns = [name for name in model_columns if name in rows[0]]
    if "operation" in rows[0] and "feature" in rows[0]:
        source = path.name.split(".")[0]
        return listed_operators(rows, model_columns, source)
    described: dict[str, ModelTraits] = {}
    varying: set[str] = set()
    for row in rows:
        name, traits = joined_name(row, model_columns), _row_traits(row, model_columns)
        before = described.setdefault(name, traits).values
        varying |= {key for key, value in traits.values.items() if before.get(key, value) != value}
    return {
        name: ModelTraits(
            traits.operators, {k: v for k, v in traits.values.items() if k not in varying}
        )
        for name, traits in described.items()
    }


def _row_traits(row: dict[str, str], model_columns: Sequence[str]) -> ModelTraits:
    cell = row.get("ops", "")
    values = {}
    for name, text in row.items():
        number = _number(text)
        if number is not None and name != "ops" and (name not in model_columns or number > 0):
            values[name] = number
    if len(cell) == 6 and cell.isdecimal():
        operators, depth = cell_operators(cell)
        return ModelTraits(operators, depth)
    values |= {f"ops{i}={digit}": 1.0 for i, digit in enumerate(cell)}
    return ModelTraits((), values)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _merge(found: dict[str, ModelTraits], more: dict[str, ModelTraits]) -> None:
    for name, traits in more.items():
        found[name] = found[name] | traits if name in found else traits


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
    dead = [edge for edge in dead if edge not in live]
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
    live = _edge_operator(CELL_KINDS.get(digit, "skip"), size, channels)
    return TraitOperator(f"dead {CELL_KINDS.get(digit, 'none')}", live.sizes, live.count)


def _live_edges(digits: str) -> list[tuple[tuple[int, int], str]]:
    """The edges on a way from the first point to the last."""
    edges = [(e, d) for e, d in zip(CELL_EDGES, digits, strict=True) if d in CELL_KINDS]
    ahead, behind = {0}, {3}
    for (start, end), _ in sorted(edges, key=lambda edge: edge[0][1]):
        if start in ahead:
            ahead.add(end)
    for (start, end), _ in sorted(edges, key=lambda edge: -edge[0][0]):
        if end in behind:
            behind.add(start)
    return [(e, d) for e, d in edges if e[0] in ahead and e[1] in behind]


def _depth(edges: dict[tuple[int, int], float]) -> float:
    """The most edges with a kernel one after the other."""
    longest = [0.0] * 4
    for (start, end), kernel in sorted(edges.items(), key=lambda edge: edge[0][1]):
        longest[end] = max(longest[end], longest[start] + (kernel > 0))
    return longest[3]


def _convolutions(live: list[tuple[tuple[int, int], str]]) -> float:
    return float(sum(CELL_KINDS[digit].startswith("conv") for _, digit in live))


ListedShapes = Mapping[str, float]


def listed_operators(
    rows: Sequence[Mapping[str, str]], model_columns: Sequence[str], source: str
) -> dict[str, ModelTraits]:
    """The operators of each model; `source` distinguishes the kinds of different lists."""
    found: dict[str, list[TraitOperator]] = {}
    for row in rows:
        kind, shapes = row["operation"], _parse_shapes(row["feature"])
        entry = (
            _convolution(kind, shapes) if "conv" in kind.lower() else _other_operator(kind, shapes)
        )
        entry = TraitOperator(f"{source} {entry.kind}", entry.sizes, entry.count)
        found.setdefault(joined_name(row, model_columns), []).append(entry)
    return {name: ModelTraits(tuple(operators)) for name, operators in found.items()}


def _convolution(kind: str, shapes: ListedShapes) -> TraitOperator:
    """Its kind says whether it is depthwise, grouped, pointwise, or none of these."""
    size, channels = shapes.get("input_shape", 0.0), shapes.get("input_channel", 0.0)
    after, kernel = shapes.get("output_shape", size), _first_of(shapes, "kernel", "kernel_size")
    many = _first_of(shapes, "filter", "output_channel") or channels
    groups = _first_of(shapes, "groups", "group") or 1.0
    alone = shapes.get("filter_size") == kernel**2 * channels and many == channels > 1
    if "DEPTHWISE" in kind or groups >= channels > 1 or (alone and "groups" not in shapes):
        many, groups, form = channels, channels, "depthwise"
    else:
        form = "grouped" if groups > 1 else "pointwise" if kernel == 1 else "wide"
    return operator(
        f"{kind} {form}",
        flops=shapes.get("flops", 0.0),
        read=size * size * channels,
        written=after * after * many,
        weights=kernel**2 * channels / groups * many,
        kernel=kernel,
        stride=shapes.get("stride", 0.0),
        groups=groups,
    )


def _other_operator(kind: str, shapes: ListedShapes) -> TraitOperator:
    """A product with a matrix where there is no image, else something that moves data."""
    size, channels = shapes.get("input_shape", 0.0), shapes.get("input_channel", 0.0)
    filters, after = shapes.get("filter", 0.0), shapes.get("output_shape", size)
    if not size or not channels:
        columns = (channels or size, filters or after)
        read, written, weights = (*columns, columns[0] * columns[1])
    else:
        read, weights = size * size * channels, 0.0
        written = after * after * channels
        if kind == "MEAN":
            written = channels
        if kind == "CONCATENATION":
            read = written = after * after * filters
    return operator(
        kind,
        flops=shapes.get("flops", 0.0),
        read=read,
        written=written,
        weights=weights,
        kernel=_first_of(shapes, "kernel", "kernel_size"),
        stride=shapes.get("stride", 0.0),
    )


def _first_of(shapes: ListedShapes, *names: str) -> float:
    return next((shapes[name] for name in names if name in shapes), 0.0)


def _parse_shapes(text: str) -> ListedShapes:
    try:
        shapes = ast.literal_eval(text)
        items = shapes.items()
    except (ValueError, SyntaxError, AttributeError) as error:
        raise InvalidInput(f"an operator's feature is no mapping: {text[:80]}") from error
    return {str(key).lower(): _shape_number(value) for key, value in items}


def _shape_number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
