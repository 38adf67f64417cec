"""Which class an operator belongs to, and what it costs.

Operators of one class run through the same kind of kernel, so that one probe speaks for them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acesniper.predictor.features import FREE, HEAVY
from acesniper.predictor.onnx.fusion import (
    DecomposedNorms,
    absorbed_conversions,
    decomposed_norms,
    quantised_sizes,
)
from acesniper.predictor.onnx.matrix_products import CONTRIB_ATTENTION as CONTRIBUTED_ATTENTION
from acesniper.predictor.onnx.matrix_products import (
    CONVOLUTIONS,
    EXPERTS,
    GEMMS,
    MATRIX_PRODUCTS,
    PACKED_PRODUCTS,
    PRODUCTS,
    RECURRENT,
    TRANSPOSED,
    Products,
    linear_attention,
    operand,
    pixels,
    standard_attention,
    weight,
    window,
)
from acesniper.predictor.onnx.node import CONTRIB_DOMAINS, Node, Tensor, op_names

WIDE = 28 * 28
"""Images of at least so many pixels stream activations; smaller ones stream weights."""

FEW_ROWS = 8
"""A product with fewer rows is bound by reading its matrix once."""


VIEWS = op_names(
    "BitCast Constant Dropout ExpandDims Flatten Identity Reshape Shape Size Squeeze Unsqueeze If "
    "Loop Scan SequenceMap SequenceAt SequenceConstruct SequenceEmpty SequenceErase "
    "SequenceInsert SequenceLength Optional OptionalGetElement OptionalHasElement"
)
MOVES = op_names(
    "AffineGrid CenterCropPad Col2Im Concat ConcatFromSequence CropAndResize DepthToSpace Expand "
    "EmbedLayerNormalization Gather GatherBlockQuantized GatherElements GatherND GridSample "
    "ImageDecoder MaxUnpool Pad QLinearConcat Resize ReorderInput ReorderOutput "
    "ReverseSequence Scatter ScatterElements ScatterND Slice SpaceToDepth Split SplitToSequence "
    "TensorScatter Tile TorchEmbedding Transpose UnfoldTensor Upsample OneHot Range "
    "ConstantOfShape Compress NonZero EyeLike Trilu"
)
POOLS = op_names(
    "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool NhwcMaxPool "
    "QLinearAveragePool QLinearGlobalAveragePool QLinearReduceMean ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumInteger ReduceSumSquare ArgMax ArgMin TopK CumProd CumSum MaxRoiPool RoiAlign"
)
NORMS = op_names(
    "BatchNormalization GroupNorm GroupNormalization InstanceNormalization LRN LayerNormalization "
    "LpNormalization MeanVarianceNormalization RMSNormalization SimplifiedLayerNormalization "
    "SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization"
)
ELEMENTWISE = op_names(
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh Bernoulli BiasAdd BiasGelu BiasSplitGelu "
    "BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu "
    "Clip Cos Cosh DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp FastGelu Floor "
    "Gelu Greater GreaterOrEqual HammingWindow HannWindow HardSigmoid HardSwish IsInf IsNaN "
    "LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow QLinearAdd "
    "QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearWhere QuantizeLinear QuickGelu "
    "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Relu "
    "RotaryEmbedding Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum "
    "SwiGLU Swish Tan Tanh ThresholdedRelu Where Xor"
)
SOFTMAXES = op_names(
    "BiasSoftmax Hardmax LogSoftmax NegativeLogLikelihoodLoss QLinearSoftmax Softmax "
    "SoftmaxCrossEntropyLoss"
)
RARE = op_names(
    "DFT Det ImageDecoder Inverse MelWeightMatrix Multinomial NonMaxSuppression RegexFullMatch "
    "STFT StringConcat StringNormalizer StringSplit TfIdfVectorizer Unique"
)
"""Operators that no probe speaks for."""

MEMBERS = {
    **{FREE: VIEWS, "movement": MOVES, "pool": POOLS, "norm": NORMS},
    **{"elementwise": ELEMENTWISE, "softmax": SOFTMAXES, "other": RARE},
}
LIGHT_CLASS = {op: name for name, members in MEMBERS.items() for op in members}

STANDARD_PRODUCTS: Mapping[str, Callable[[Node], Products]] = {
    **PRODUCTS,
    "Attention": standard_attention,
    "FlexAttention": standard_attention,
    "LinearAttention": linear_attention,
}
CONTRIBUTED_PRODUCTS = {**STANDARD_PRODUCTS, **CONTRIBUTED_ATTENTION}


def is_known(node: Node) -> bool:
    """Whether the operator's domain is one whose operators are known."""
    return node.standard or node.domain in CONTRIB_DOMAINS or node.op == "FlexAttention"


def is_heavy(node: Node) -> bool:
    """Whether the operator is a matrix product."""
    return is_known(node) and node.op in _counters(node)


def products_of(node: Node) -> Products:
    """The matrix products of one run; none for light operators and unknown shapes."""
    if not is_heavy(node) or not node.outputs:
        return ()
    return _counters(node)[node.op](node)


def flops(node: Node) -> float:
    """2 x multiply-accumulates of one run; light operators count none."""
    return sum(each.flops for each in products_of(node))


def _counters(node: Node) -> Mapping[str, Callable[[Node], Products]]:
    return CONTRIBUTED_PRODUCTS if node.domain in CONTRIB_DOMAINS else STANDARD_PRODUCTS


def classify(node: Node) -> str:
    """The class of a node; whether an elementwise one is fused depends on its neighbours."""
    if not is_known(node):
        return "unknown"
    if is_heavy(node):
        return _heavy_class(node) if node.outputs else "other"
    return LIGHT_CLASS.get(node.op, "other" if node.standard else "unknown")


def _heavy_class(node: Node) -> str:
    if node.op in CONVOLUTIONS:
        return _conv_class(node)
    if node.op in TRANSPOSED:
        return "convtranspose"
    if node.op in RECURRENT:
        return "recurrent"
    if node.op in MATRIX_PRODUCTS | GEMMS | PACKED_PRODUCTS | EXPERTS:
        return _product_class(node)
    if node.op == "Einsum" and any(each.constant for each in node.inputs):
        return _product_class(node)
    return "attention"


def _conv_class(node: Node) -> str:
    kernel, image = weight(node).shape or (), node.outputs[0].shape or ()
    if len(kernel) < 3 or len(image) < 3:
        return "other"
    depth = kernel[-1] if node.op.startswith("Nhwc") else kernel[1]
    size = "wide" if pixels(node) >= WIDE else "deep"
    if len(kernel) == 3:
        return "conv1d"
    if node.integer("group", 1) > 1:
        return f"depthwise_{size}" if depth == 1 else "grouped"
    if all(each == 1 for each in window(node)):
        return f"conv1x1_{size}" if pixels(node) * image[0] >= FEW_ROWS else "gemv"
    return "stem" if depth <= 4 else f"conv_{size}"


def _product_class(node: Node) -> str:
    if node.op not in PACKED_PRODUCTS | EXPERTS and not _weighted(node):
        return "attention"
    if max((each.count * each.rows for each in products_of(node)), default=0) < FEW_ROWS:
        return "gemv"
    return "gemm" if node.op in GEMMS else "matmul"


def _weighted(node: Node) -> bool:
    return weight(node).constant or operand(node, 0).constant


def moved_bytes(node: Node) -> float:
    """Bytes read and written by one run, each tensor once."""
    written = sum(each.bytes for each in node.outputs)
    if node.op in ("Gather", "GatherND", "GatherElements", "Slice"):  # reads only what it returns
        return 2 * written
    return written + sum(each.bytes for each in node.inputs)


# TODO merge docstring of acesniper.predictor.onnx.op_class:
# Nodes with their classes, after looking at their neighbours.

ANCHORS = frozenset(HEAVY) | {"gemv"}
"""Classes whose kernels take a following activation along."""


@dataclass(frozen=True, slots=True)
class ClassifiedNode:
    """A node with its class after looking at its neighbours, and the one it has `alone`."""

    node: Node
    kind: str
    alone: str


@dataclass(frozen=True, slots=True)
class ClassifiedGraph:
    """The nodes of a model that run, in order, and the tensors that it takes and gives."""

    nodes: tuple[ClassifiedNode, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def classify_nodes(nodes: Sequence[Node]) -> list[ClassifiedNode]:
    """The nodes that run, with elementwise ones that ride on a heavy one marked as fused.

    A node rides when all its changing inputs come from one heavy node: an activation, a bias, a
    gate computed from the same value; the sum of a residual does not. A normalisation written out
    in small operators counts where it ends, and the others ride on it.
    """
    origin: dict[str, int] = {}
    result: list[ClassifiedNode] = []
    vanishing, norms = absorbed_conversions(nodes), decomposed_norms(nodes)
    for place, node in enumerate(quantised_sizes(nodes)):
        if (node.constant and node.inputs) or node.op == "Constant":
            continue
        kind = alone = _kind(place, node, norms)
        moving = [n for n, t in zip(node.feeds, node.inputs, strict=True) if n and not t.constant]
        roots = {origin.get(name) for name in moving}
        root = roots.pop() if len(roots) == 1 else None
        if place in vanishing or (root is not None and _may_ride(node, kind)):
            kind = "fused"
        anchored = kind in ANCHORS or place in norms.close
        anchor = len(result) if anchored else root if kind in ("fused", FREE) else None
        if anchor is not None and place not in norms.inner:
            origin.update(dict.fromkeys(node.gives, anchor))
        result.append(ClassifiedNode(node, kind, alone))
    return result


def _kind(place: int, node: Node, norms: DecomposedNorms) -> str:
    if place in norms.close | norms.inner:
        return "norm" if place in norms.close else "fused"
    return FREE if node.folded else classify(node)


def _may_ride(node: Node, kind: str) -> bool:
    return kind == "elementwise" or (kind == "norm" and node.op == "BatchNormalization")
