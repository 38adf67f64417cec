"""Classes and costs of operators, and the classified nodes of a graph.

Operators of one class run through the same kind of kernel, so that one probe represents them. Nodes
that a runtime fuses into a heavy neighbour are marked as such.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acesniper.predictor.features import FREE, HEAVY
from acesniper.predictor.onnx.fusion import (
    DecomposedNorms,
    absorbed_conversions,
    decomposed_norms,
    with_quantised_sizes,
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
"""Pixels from which on an image streams activations; smaller ones stream weights."""

FEW_ROWS = 8
"""A product with fewer rows than this is bound by reading its matrix once."""


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
"""Operators without a probe that represents them."""

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
    """Whether the operator is in a domain whose operators are known."""
    return node.standard or node.domain in CONTRIB_DOMAINS or node.op == "FlexAttention"


def is_heavy(node: Node) -> bool:
    """Whether the operator is a matrix product."""
    return is_known(node) and node.op in _product_functions(node)


def products_of(node: Node) -> Products:
    """Matrix products of one run; empty for light operators and unknown shapes."""
    if not is_heavy(node) or not node.outputs:
        return ()
    return _product_functions(node)[node.op](node)


def flops(node: Node) -> float:
    """FLOPs of one run, 2 x multiply-accumulates; 0 for light operators."""
    return sum(product.flops for product in products_of(node))


def _product_functions(node: Node) -> Mapping[str, Callable[[Node], Products]]:
    return CONTRIBUTED_PRODUCTS if node.domain in CONTRIB_DOMAINS else STANDARD_PRODUCTS


def classify(node: Node) -> str:
    """Class of a node without regard to its neighbours."""
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
    if node.op == "Einsum" and any(tensor.constant for tensor in node.inputs):
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
    if all(size == 1 for size in window(node)):
        return f"conv1x1_{size}" if pixels(node) * image[0] >= FEW_ROWS else "gemv"
    return "stem" if depth <= 4 else f"conv_{size}"


def _product_class(node: Node) -> str:
    if node.op not in PACKED_PRODUCTS | EXPERTS and not _weighted(node):
        return "attention"
    if max((product.count * product.rows for product in products_of(node)), default=0) < FEW_ROWS:
        return "gemv"
    return "gemm" if node.op in GEMMS else "matmul"


def _weighted(node: Node) -> bool:
    return weight(node).constant or operand(node, 0).constant


def moved_bytes(node: Node) -> float:
    """Bytes that one run reads and writes, counting each tensor once."""
    written = sum(tensor.bytes for tensor in node.outputs)
    if node.op in (
        "Gather",
        "GatherND",
        "GatherElements",
        "Slice",
    ):  # reads only the elements that it outputs
        return 2 * written
    return written + sum(tensor.bytes for tensor in node.inputs)


ANCHORS = frozenset(HEAVY) | {"gemv"}
"""Classes whose kernels take a following activation along."""


@dataclass(frozen=True, slots=True)
class ClassifiedNode:
    """A node with its class, and the class that it has without regard to its neighbours.

    `op_class` is "fused" if the node is computed by a neighbour's kernel; `own_class` is not.
    """

    node: Node
    op_class: str
    own_class: str


@dataclass(frozen=True, slots=True)
class ClassifiedGraph:
    """Nodes of a model that run, in order, and its input and output tensors."""

    nodes: tuple[ClassifiedNode, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def classify_nodes(nodes: Sequence[Node]) -> list[ClassifiedNode]:
    """The nodes that run, with elementwise ones that fuse into a heavy node marked as fused.

    A node fuses if all its non-constant inputs come from one heavy node: an activation, a bias, a
    gate computed from the same value; the sum of a residual does not. A decomposed normalisation
    counts at its last node, and its other nodes fuse into that one.
    """
    origin: dict[str, int] = {}
    result: list[ClassifiedNode] = []
    absorbed, norms = absorbed_conversions(nodes), decomposed_norms(nodes)
    for place, node in enumerate(with_quantised_sizes(nodes)):
        if (node.constant and node.inputs) or node.op == "Constant":
            continue
        op_class = own_class = _own_class(place, node, norms)
        variable = [
            n for n, t in zip(node.input_names, node.inputs, strict=True) if n and not t.constant
        ]
        roots = {origin.get(name) for name in variable}
        root = roots.pop() if len(roots) == 1 else None
        if place in absorbed or (root is not None and _can_fuse(node, op_class)):
            op_class = "fused"
        is_anchor = op_class in ANCHORS or place in norms.close
        anchor = len(result) if is_anchor else root if op_class in ("fused", FREE) else None
        if anchor is not None and place not in norms.inner:
            origin.update(dict.fromkeys(node.output_names, anchor))
        result.append(ClassifiedNode(node, op_class, own_class))
    return result


def _own_class(place: int, node: Node, norms: DecomposedNorms) -> str:
    if place in norms.close | norms.inner:
        return "norm" if place in norms.close else "fused"
    return FREE if node.folded else classify(node)


def _can_fuse(node: Node, op_class: str) -> bool:
    return op_class == "elementwise" or (op_class == "norm" and node.op == "BatchNormalization")
