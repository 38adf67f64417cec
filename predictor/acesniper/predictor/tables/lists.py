"""Lists of operators in CSV: one row per operator, its shapes as a mapping in one cell.

The form of Li et al., "Predicting the latency of neural networks on mobile devices"
(github.com/qed-usc/mobile-ml-benchmark), for TFLite and for Torch. Images are square; a list leaves
out what follows from the rest.
"""

import ast
from collections.abc import Mapping, Sequence

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.measurements import joined_name
from acesniper.predictor.tables.operators import ModelTraits, TraitOperator, operator

ListedShapes = Mapping[str, float]


def listed_operators(
    rows: Sequence[Mapping[str, str]], model_columns: Sequence[str], source: str
) -> dict[str, ModelTraits]:
    """The operators of each model; `source` keeps apart the kinds of different lists."""
    found: dict[str, list[TraitOperator]] = {}
    for row in rows:
        kind, shapes = row["operation"], _parse_shapes(row["feature"])
        each = (
            _convolution(kind, shapes) if "conv" in kind.lower() else _other_operator(kind, shapes)
        )
        each = TraitOperator(f"{source} {each.kind}", each.sizes, each.count)
        found.setdefault(joined_name(row, model_columns), []).append(each)
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
