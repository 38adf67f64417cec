"""Which class an operator belongs to, and what it costs.

Operators of one class run through the same kind of kernel, so that one probe speaks for them.
"""

import math
from collections.abc import Callable, Mapping

from acesniper.predictor.features import FREE
from acesniper.predictor.nodes import Node
from acesniper.predictor.tensors import NOTHING, Tensor

WIDE = 28 * 28
"""Images of at least so many pixels stream activations; smaller ones stream weights."""

FEW_ROWS = 8
"""A product with fewer rows is bound by reading its matrix once."""


def names(text: str) -> frozenset[str]:
    """Operator names parted by blanks."""
    return frozenset(text.split())


VIEWS = names(
    "Constant Dropout Flatten Identity Reshape Shape Size Squeeze Unsqueeze If Loop Scan "
    "SequenceEmpty Optional"
)
MOVES = names(
    "Concat DepthToSpace Expand Gather GatherElements GatherND Pad Resize ReverseSequence "
    "Scatter ScatterElements ScatterND Slice SpaceToDepth Split Tile Transpose Upsample "
    "OneHot Range ConstantOfShape Compress NonZero EyeLike Trilu"
)
POOLS = names(
    "AveragePool GlobalAveragePool GlobalMaxPool LpPool MaxPool ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare ArgMax ArgMin TopK CumSum MaxRoiPool RoiAlign"
)
NORMS = names(
    "BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization "
    "LpNormalization MeanVarianceNormalization RMSNormalization"
)
ELEMENTWISE = names(
    "Abs Acos Add And Asin Atan BitShift Cast CastLike Ceil Celu Clip Cos Cosh "
    "DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp Floor Gelu Greater "
    "GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean "
    "Min Mish Mod Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Shrink "
    "Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu "
    "Where Xor"
)
SOFTMAXES = frozenset(("Softmax", "LogSoftmax", "Hardmax"))
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
WEIGHT = {"QLinearConv": 3, "QLinearMatMul": 3}
"""Where the weight stands, if not second."""


def operand(node: Node, index: int) -> Tensor:
    """An input by position; NOTHING where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else NOTHING


def weight(node: Node) -> Tensor:
    """The matrix or kernel of a heavy operator."""
    return operand(node, WEIGHT.get(node.op, 1))


def rows(node: Node) -> float:
    """The rows of a matrix product: output elements over columns."""
    shape = node.outputs[0].shape
    return node.outputs[0].elements / shape[-1] if shape and shape[-1] else 0.0


def _conv_class(node: Node) -> str:
    kernel, image = weight(node).shape or (), node.outputs[0].shape or ()
    if len(kernel) < 3 or len(image) < 3:
        return "other"
    groups = node.attributes.get("group", 1)
    groups = groups if isinstance(groups, int) else 1
    pixels = math.prod(image[2:])
    size = "wide" if pixels >= WIDE else "deep"
    pointwise = math.prod(kernel[2:]) == 1
    if len(kernel) == 3:
        return "conv1d"
    if groups > 1:
        return f"depthwise_{size}" if kernel[1] == 1 else "grouped"
    if pointwise:
        return f"conv1x1_{size}" if pixels * image[0] >= FEW_ROWS else "gemv"
    return "stem" if kernel[1] <= 4 else f"conv_{size}"


def _product_class(node: Node) -> str:
    if not weight(node).constant and not operand(node, 0).constant:
        return "attention"
    if rows(node) < FEW_ROWS:
        return "gemv"
    return "gemm" if node.op == "Gemm" else "matmul"


def _conv_flops(node: Node) -> float:
    kernel = weight(node)
    filters = (kernel.shape or (0,))[0]
    return 2.0 * node.outputs[0].elements * kernel.elements / filters if filters else 0.0


def _transposed_flops(node: Node) -> float:
    kernel = weight(node)
    depth = (kernel.shape or (0,))[0]
    return 2.0 * operand(node, 0).elements * kernel.elements / depth if depth else 0.0


def _product_flops(node: Node) -> float:
    shape = operand(node, 0).shape or ()
    if not shape:
        return 0.0
    depth = shape[0] if node.op == "Gemm" and node.attributes.get("transA") else shape[-1]
    return 2.0 * node.outputs[0].elements * depth


def _recurrent_flops(node: Node) -> float:
    steps = operand(node, 0).shape or (0, 0)
    if len(steps) < 2:
        return 0.0
    return 2.0 * steps[0] * steps[1] * (weight(node).elements + operand(node, 2).elements)


def _einsum_flops(node: Node) -> float:
    equation = node.attributes.get("equation", b"")
    text = equation.decode(errors="replace") if isinstance(equation, bytes) else ""
    sizes: dict[str, int] = {}
    for term, tensor in zip(text.split("->")[0].split(","), node.inputs, strict=False):
        sizes.update(zip(term.strip(), tensor.shape or (), strict=False))
    return 2.0 * math.prod(sizes.values()) if len(node.inputs) > 1 else 0.0


HEAVY_OPS: Mapping[str, tuple[Callable[[Node], str], Callable[[Node], float]]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), (_conv_class, _conv_flops)),
    "ConvTranspose": (lambda _: "convtranspose", _transposed_flops),
    **dict.fromkeys(
        ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul"), (_product_class, _product_flops)
    ),
    "Einsum": (lambda _: "attention", _einsum_flops),
    **dict.fromkeys(GATES, (lambda _: "recurrent", _recurrent_flops)),
}


def classify(node: Node) -> str:
    """The class of a node; whether an elementwise one is fused depends on its neighbours."""
    if not node.standard:
        return "unknown"
    if node.op in HEAVY_OPS:
        return HEAVY_OPS[node.op][0](node) if node.outputs else "other"
    if node.op in VIEWS:
        return FREE
    for name, members in (
        *(("movement", MOVES), ("pool", POOLS), ("norm", NORMS)),
        *(("elementwise", ELEMENTWISE), ("softmax", SOFTMAXES)),
    ):
        if node.op in members:
            return name
    return "other"


def flops(node: Node) -> float:
    """2 x multiply-accumulates of one run; light operators count none."""
    if not node.standard or node.op not in HEAVY_OPS or not node.outputs:
        return 0.0
    return HEAVY_OPS[node.op][1](node)


def moved_bytes(node: Node) -> float:
    """Bytes read and written by one run, each tensor once."""
    written = sum(each.bytes for each in node.outputs)
    if node.op in ("Gather", "GatherND", "GatherElements", "Slice"):  # reads only what it returns
        return 2 * written
    return written + sum(each.bytes for each in node.inputs)
