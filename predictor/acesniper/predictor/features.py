"""The names of a model's features: one place, one order, one version.

Each operator class has three features, summed over its nodes: `<class>.flops` (2 x multiply-
accumulates; light operators count none), `<class>.bytes` (read and written once, in the types of
the graph) and `<class>.nodes`. SPREADS say over which shapes and kinds of operators that work is
spread; the rest are totals. All but sizes, depth and batch add up over the parts of a graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FEATURES_VERSION = "2"

HEAVY = (
    "stem",
    "conv_wide",
    "conv_deep",
    "conv1x1_wide",
    "conv1x1_deep",
    "depthwise_wide",
    "depthwise_deep",
    "grouped",
    "conv1d",
    "convtranspose",
    "matmul",
    "gemm",
    "attention",
    "recurrent",
)
"""Classes whose time follows their arithmetic. `wide` ones have images of 28 x 28 or more."""

LIGHT = ("gemv", "fused", "elementwise", "norm", "softmax", "pool", "movement", "other", "unknown")
"""Classes whose time follows the bytes they touch; `fused` ones vanish in most runtimes."""

FREE = "free"
"""Views and constants: no work at run time."""

CLASSES = HEAVY + LIGHT
MEASURES = ("flops", "bytes", "nodes")

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "conv": ("stem", "conv_wide", "conv_deep", "conv1d", "convtranspose"),
    "pointwise": ("conv1x1_wide", "conv1x1_deep"),
    "depthwise": ("depthwise_wide", "depthwise_deep", "grouped"),
    "product": ("matmul", "gemm", "gemv", "recurrent"),
    "attention": ("attention",),
}
"""Classes whose matrix products have alike shapes."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How an amount is spread over bins: `name` says amount and order, `of` whose amount it is.

    With `knots` the bins stand on a logarithmic axis: a node's amount is shared between the two
    knots around its place, so that a slightly larger shape changes the features slightly.
    """

    name: str
    of: str
    bins: tuple[str, ...]
    knots: tuple[float, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features."""
        prefix = f"{self.name}.{self.of}" if self.of else self.name
        return tuple(f"{prefix}.{label}" for label in self.bins)


def _on_axis(name: str, owners: tuple[str, ...], knots: Mapping[str, float]) -> tuple[Spread, ...]:
    """One spread per owner, over the same knots."""
    return tuple(Spread(name, owner, tuple(knots), tuple(knots.values())) for owner in owners)


def _by_kind(name: str, kinds: str) -> tuple[Spread, ...]:
    return (Spread(name, "", tuple(kinds.split())),)


def _plain(text: str) -> dict[str, float]:
    return {label: float(label) for label in text.split()}


def _binary(text: str) -> dict[str, float]:
    units = {"Ki": 2.0**10, "Mi": 2.0**20}
    return {label: float(label[:-2]) * units[label[-2:]] for label in text.split()}


SIZED_HEAVY = (
    "conv_wide",
    "conv_deep",
    "conv1x1_wide",
    "conv1x1_deep",
    "depthwise_wide",
    "depthwise_deep",
    "matmul",
    "attention",
)
SIZED_LIGHT = ("gemv", "fused", "elementwise", "norm", "softmax", "pool", "movement")

SPREADS: tuple[Spread, ...] = (
    # FLOPs by the FLOPs of their node: small nodes cannot fill a machine. `matmul` has gemm too.
    *_on_axis("flops_by_size", SIZED_HEAVY, {"1M": 1e6, "10M": 1e7, "100M": 1e8, "1G": 1e9}),
    # Bytes by the bytes of their node: in which cache they are.
    *_on_axis("bytes_by_size", SIZED_LIGHT, _binary("32Ki 256Ki 2Mi 16Mi")),
    # FLOPs by the shape of the matrix product (rows x depth) @ (depth x columns) that they are.
    *_on_axis("flops_by_rows", tuple(FAMILIES), _plain("16 128 1024 8192")),
    *_on_axis("flops_by_columns", tuple(FAMILIES), _plain("16 64 256 1024")),
    *_on_axis("flops_by_depth", tuple(FAMILIES), _plain("16 64 256 1024")),
    # FLOPs by FLOPs per byte of their node: bound by memory or by arithmetic.
    *_on_axis("flops_by_intensity", ("",), _plain("2 8 32 128")),
    # Weights by the weights of their node: in which cache they stay.
    *_on_axis("weights_by_size", ("",), _binary("32Ki 1Mi 32Mi")),
    # FLOPs of convolutions by window; `flat` is 1 x n. Strides and dilation count extra.
    *_by_kind("flops_by_window", "1 3 5 large flat strided dilated"),
    # FLOPs by the type of the weights (`int4`: four bits or fewer).
    *_by_kind("flops_by_type", "float half int8 int4"),
    # Bytes of elementwise operators, fused ones too, by function.
    *_by_kind(
        "bytes_by_function",
        "relu hard sigmoid gelu power add multiply select cast quantise",
    ),
    *_by_kind("bytes_by_norm", "batch layer group other"),
    *_by_kind("bytes_by_move", "transpose gather join pad resize"),
    *_by_kind("bytes_by_pool", "window global reduce"),
)

TOTALS = (
    "weights.bytes",
    "activations.bytes",
    "largest_activation.bytes",
    "largest_weight.bytes",
    "input.bytes",
    "output.bytes",
    "batch.size",
    "free.nodes",
    "unshaped.nodes",
    "unbounded_loop.nodes",
    "depth.nodes",
    "join.nodes",
)
"""`activations.bytes` is the peak alive at once; `join.nodes` add or concatenate two branches."""

FEATURE_NAMES = (
    *(f"{name}.{measure}" for name in CLASSES for measure in MEASURES),
    *(name for spread in SPREADS for name in spread.features),
    *TOTALS,
)


def class_matrix(values: Mapping[str, float]) -> np.ndarray:
    """The features of the classes as an array of shape (classes, 3): FLOPs, bytes, nodes."""
    rows = [[values.get(f"{name}.{measure}", 0.0) for measure in MEASURES] for name in CLASSES]
    return np.asarray(rows, dtype=np.float64)
