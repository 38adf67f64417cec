"""Infer the shapes of a bound model, folding the constants that shapes depend on."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.nodes import names
from acesniper.predictor.tensors import KEPT_ELEMENTS, from_value, graphs, values

FOLDABLE = names(
    "Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Floor Gather Greater "
    "Identity Less Max Min Mod Mul Neg Not Or Range ReduceMax ReduceMin ReduceProd ReduceSum "
    "Reshape Size Slice Sqrt Squeeze Sub Tile Transpose Unsqueeze Where"
)
"""Operators that exporters leave in the arithmetic of shapes; cheap on small tensors."""

ROUNDS = 4
"""Each round may open another layer of shapes; real models need one or two."""


def infer(model: ModelProto) -> ModelProto:
    """The model with the shapes of its values, as far as they follow from its inputs.

    Raises InvalidModel (ShapeInferenceFailed) where the graph contradicts itself.
    """
    for graph in graphs(model.graph):
        _drop_large_values(graph)
    inferred = _infer_once(model)
    for _ in range(ROUNDS):
        if not _unknown(inferred.graph) or not _fold(inferred.graph):
            break
        del inferred.graph.value_info[:]
        inferred = _infer_once(inferred)
    return inferred


def _infer_once(model: ModelProto) -> ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (RuntimeError, ValueError, TypeError, onnx.shape_inference.InferenceError) as error:
        raise InvalidModel("ShapeInferenceFailed", f"shapes do not fit: {error}") from error


def _drop_large_values(graph: GraphProto) -> None:
    """Keep the type and shape of big weights, and forget their values."""
    for tensor in graph.initializer:
        if np.prod([float(dim) for dim in tensor.dims]) <= KEPT_ELEMENTS and (
            tensor.data_location != TensorProto.EXTERNAL
        ):
            continue
        kept = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        tensor.CopyFrom(kept)


def _unknown(graph: GraphProto) -> bool:
    shaped = {v.name for v in graph.value_info if from_value(v).shape is not None}
    shaped |= {v.name for v in graph.output if from_value(v).shape is not None}
    return any(name not in shaped for node in graph.node for name in node.output if name)


def _fold(graph: GraphProto) -> bool:
    """Turn small computable values into initializers; whether anything was folded."""
    known = dict(_small_values(graph))
    shapes = {v.name: from_value(v).shape for v in [*graph.input, *graph.value_info]}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    kept: list[NodeProto] = []
    for node in graph.node:
        result = _value(node, known, shapes)
        if result is None or result.size > KEPT_ELEMENTS:
            kept.append(node)
            continue
        known[node.output[0]] = result
        graph.initializer.append(numpy_helper.from_array(result, node.output[0]))
    changed = len(kept) < len(graph.node)
    del graph.node[:]
    graph.node.extend(kept)
    return changed


def _small_values(graph: GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in graph.initializer:
        if _has_values(tensor):
            yield tensor.name, values(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            if np.prod([float(dim) for dim in tensor.dims]) <= KEPT_ELEMENTS:
                yield node.output[0], values(tensor)


def _has_values(tensor: TensorProto) -> bool:
    fields = (tensor.raw_data, tensor.int64_data, tensor.int32_data, tensor.float_data)
    return any(len(field) for field in (*fields, tensor.double_data))


def _value(
    node: NodeProto,
    known: dict[str, np.ndarray],
    shapes: dict[str, tuple[int, ...] | None],
) -> np.ndarray | None:
    if len(node.output) != 1 or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Shape" and not node.attribute:
        shape = shapes.get(node.input[0])
        return None if shape is None else np.asarray(shape, dtype=np.int64)
    if node.op_type not in FOLDABLE or any(name and name not in known for name in node.input):
        return None
    if not _stays_small(node, known):
        return None
    return _evaluate(node, {name: known[name] for name in node.input if name})


def _stays_small(node: NodeProto, known: dict[str, np.ndarray]) -> bool:
    """Whether an operator that can blow up a tiny input does not do so here."""
    operands = [known[name] for name in node.input if name]
    if node.op_type == "Range":
        start, limit, delta = (float(np.ravel(each)[0]) for each in operands)
        return delta != 0 and abs((limit - start) / delta) <= KEPT_ELEMENTS
    if node.op_type in ("ConstantOfShape", "Expand", "Tile"):
        size = operands[0].size if node.op_type == "Tile" else 1
        return float(np.prod(operands[-1].astype(np.float64))) * size <= KEPT_ELEMENTS
    return True


def _evaluate(node: NodeProto, feeds: dict[str, np.ndarray]) -> np.ndarray | None:
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(node.output[0])]
    graph = helper.make_graph([node], "fold", inputs, outputs)
    try:
        (result,) = ReferenceEvaluator(helper.make_model(graph)).run(None, feeds)
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, NotImplementedError):
        return None  # left to the check that nothing stays unknown
    return np.asarray(result)
