"""Read the features of models from whatever describes them: files, lists, columns."""

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
from acesniper.predictor.tables.model_sources import cell_operators, listed_operators
from acesniper.predictor.tables.ncnn import read_ncnn_param
from acesniper.predictor.tables.operators import ModelTraits, operator

log = logging.getLogger(__name__)


def read_features(
    path: Path,
    model_columns: Sequence[str] = ("model",),
    shapes: Mapping[str, int] | None = None,
    left_out: Callable[[str], None] = log.warning,
) -> dict[str, ModelTraits]:
    """The features of every model a file or folder describes, by the model's name.

    A folder holds `.onnx`, `.param` (ncnn) and `.csv` files; an ONNX file in it that cannot be read
    is told to `left_out`. A CSV file is either a list of operators (columns `operation` and
    `feature`) or has a row per model: its numbers are taken as they are, unless they differ between
    rows of one model; a column `ops` of six digits is a cell of NAS-Bench-201. Of several model
    columns a file may lack all but the first. `shapes` are sizes of dimensions that ONNX files
    leave open. Raises InvalidInput.
    """
    if path.is_dir():
        found: dict[str, ModelTraits] = {}
        for file in sorted(each for each in path.iterdir() if each.is_file()):
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
    described = [i for i, each in enumerate(direct) if each is not None]
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
                features.values[f"{kind}.{each}"] / nodes for each in ("flops", "bytes")
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
            each.operators, {k: v for k, v in each.values.items() if k not in varying}
        )
        for name, each in described.items()
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
