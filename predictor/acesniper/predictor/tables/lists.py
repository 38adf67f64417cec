"""Lists of operators in CSV: one row per operator, its shapes as a mapping in one cell.

The form of Li et al., "Predicting the latency of neural networks on mobile devices"
(github.com/qed-usc/mobile-ml-benchmark), for TFLite and for Torch.
"""

import ast
from collections.abc import Mapping, Sequence

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.table import joined
from acesniper.predictor.tables.traits import Operator, Traits, operator


def listed_operators(
    rows: Sequence[Mapping[str, str]], model_columns: Sequence[str], source: str
) -> dict[str, Traits]:
    """The operators of each model; `source` keeps apart the kinds of different lists."""
    found: dict[str, list[Operator]] = {}
    for row in rows:
        shapes = _shapes(row["feature"])
        kind = f"{source} {row['operation']}"
        found.setdefault(joined(row, model_columns), []).append(_operator(kind, shapes))
    return {name: Traits(tuple(operators)) for name, operators in found.items()}


def _operator(kind: str, shapes: Mapping[str, float]) -> Operator:
    """An operator from its shapes; images are square, and a list leaves out what follows."""
    size, channels = shapes.get("input_shape", 0.0), shapes.get("input_channel", 0.0)
    after = shapes.get("output_shape", size)
    filters = shapes.get("filter", shapes.get("output_channel", 0.0))
    if channels == 0:  # a matrix product: the shapes are its numbers of columns
        read, written = size, after
        weights = size * after
    else:
        depthwise = "DEPTHWISE" in kind
        groups = shapes.get("groups", shapes.get("group", 1.0)) or 1.0
        kernel = shapes.get("kernel", shapes.get("kernel_size", 0.0))
        convolution = "conv" in kind.lower()
        many = channels if depthwise or not filters else filters
        read = size * size * channels
        written = after * after * many
        per_filter = 1.0 if depthwise else channels / groups
        weights = kernel**2 * per_filter * many if convolution else 0.0
        if convolution and (depthwise or groups >= channels > 1):
            kind = f"{kind} depthwise"
        elif convolution and groups > 1:
            kind = f"{kind} grouped"
    return operator(
        kind,
        flops=shapes.get("flops", 0.0),
        read=read,
        written=written,
        weights=weights,
        kernel=shapes.get("kernel", shapes.get("kernel_size", 0.0)),
        stride=shapes.get("stride", 0.0),
        groups=shapes.get("groups", shapes.get("group", 0.0)),
    )


def _shapes(text: str) -> dict[str, float]:
    try:
        shapes = ast.literal_eval(text)
        items = shapes.items()
    except (ValueError, SyntaxError, AttributeError) as error:
        raise InvalidInput(f"an operator's feature is no mapping: {text[:80]}") from error
    return {str(key).lower(): _number(value) for key, value in items}


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
