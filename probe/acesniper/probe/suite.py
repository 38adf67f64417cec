"""The HRM suite: small graphs that together say what a platform is good at.

Each probe stands for one class of operators at one typical shape. A change of any graph, or of
the way it is measured, needs a new VERSION: readings of two versions do not compare.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import ModelProto

from acesniper.probe.graphs import GraphBuilder

SUITE = "hrm"
VERSION = "1"
MEMORY = "memory"
"""The probe that is no graph: copying a large array."""
MEMORY_BYTES = 64 << 20
"""Read and written by one run of it; larger than the caches of edge devices."""
SENTINEL = "conv_wide_16"
"""Re-run between rounds; when it moved, something else was running."""

Layers = Callable[[GraphBuilder, str], str]


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe graph: layers over one float input of shape (batch, *dims)."""

    name: str
    dims: tuple[int, ...]
    layers: Layers
    batch: int = 1

    def build(self) -> ModelProto:
        """The probe as an ONNX model."""
        b = GraphBuilder(self.name)
        return b.build(self.layers(b, b.input("x", *self.dims, batch=self.batch)))


def chain(times: int, layer: Layers) -> Layers:
    """A layer applied several times, so that the fixed cost of a run weighs little."""

    def layers(b: GraphBuilder, x: str) -> str:
        for _ in range(times):
            x = layer(b, x)
        return x

    return layers


def conv(channels: int, kernel: int = 3, **options: int) -> Layers:
    """A convolution with a Relu."""
    return lambda b, x: b.conv(x, channels, kernel, act="Relu", **options)


def pointwise(wide: int, narrow: int) -> Layers:
    """Up and down again by 1x1 convolutions."""
    return lambda b, x: b.conv(b.conv(x, wide, 1, act="Relu"), narrow, 1, act="Relu")


def mlp(wide: int, act: str | None = None) -> Layers:
    """Two dense layers by MatMul, back to the width of the input."""
    return lambda b, x: b.linear(b.linear(x, wide, act), b.shape(x)[-1])


def _attend(b: GraphBuilder, x: str) -> str:
    heads, tokens, depth = b.shape(x)
    scores = b.add("MatMul", [x, b.transpose(x, 1, 3, 2)], (heads, tokens, tokens))
    scaled = b.add("Mul", [scores, b.scalar(1 / tokens)], (heads, tokens, tokens))
    return b.add("MatMul", [scaled, x], (heads, tokens, depth))


def _move(b: GraphBuilder, x: str) -> str:
    height, width = b.shape(x)[1:]
    turned = b.transpose(x, 1, 3, 2)
    both = b.concat([x, turned])
    half = b.shape(x)[0]
    bounds = [b.constant([half]), b.constant([2 * half]), b.constant([1])]
    return b.add("Slice", [both, *bounds], (half, height, width))


def _residual(b: GraphBuilder, x: str) -> str:
    return b.plus(x, b.conv(b.conv(x, 32, act="Relu"), b.shape(x)[0]), "Relu")


def _inverted(b: GraphBuilder, x: str) -> str:
    depth = b.shape(x)[0]
    y = b.conv(x, 4 * depth, 1, act="Relu6")
    y = b.conv(b.conv(y, 4 * depth, groups=4 * depth, act="Relu6"), depth, 1)
    return b.plus(x, y)


def _transformer(b: GraphBuilder, x: str) -> str:
    x = b.layer_norm(b.plus(x, b.attention(x, 4)))
    return b.layer_norm(b.plus(x, mlp(512, "Gelu")(b, x)))


PROBES: Mapping[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe("null", (16,), lambda b, x: b.activation(x, "Relu")),
        Probe("dispatch", (16,), chain(32, lambda b, x: b.activation(b.gemm(x, 16), "Sigmoid"))),
        Probe("stem_3", (3, 224, 224), conv(32, stride=2)),
        Probe("stem_7", (3, 160, 160), conv(64, 7, stride=2)),
        Probe("conv_wide_16", (16, 112, 112), chain(2, conv(16))),
        Probe("conv_wide_64", (64, 56, 56), conv(64)),
        Probe("conv_deep_128", (128, 14, 14), chain(2, conv(128))),
        Probe("conv_deep_512", (512, 7, 7), conv(512)),
        Probe("conv1x1_wide_24", (24, 56, 56), pointwise(144, 24)),
        Probe("conv1x1_wide_128", (128, 28, 28), pointwise(256, 128)),
        Probe("conv1x1_deep_96", (96, 14, 14), chain(2, pointwise(576, 96))),
        Probe("conv1x1_deep_1024", (1024, 7, 7), pointwise(512, 1024)),
        Probe("depthwise_wide", (96, 56, 56), chain(3, conv(96, groups=96))),
        Probe("depthwise_deep", (480, 14, 14), chain(4, conv(480, 5, groups=480))),
        Probe("grouped", (128, 28, 28), chain(2, conv(128, groups=16))),
        Probe("conv1d", (64, 1000), chain(3, conv(64))),
        Probe("convtranspose", (64, 28, 28), lambda b, x: b.conv_transpose(x, 32)),
        Probe("matmul_128", (128, 128), chain(2, mlp(512))),
        Probe("matmul_384", (128, 384), mlp(1536)),
        Probe("gemm", (512,), lambda b, x: b.gemm(b.gemm(x, 1024), 512), batch=64),
        Probe("attention", (8, 128, 32), chain(3, _attend)),
        Probe("recurrent", (1, 128), lambda b, x: b.lstm(x, 256), batch=32),
        Probe("gemv", (512,), chain(2, lambda b, x: b.gemm(x, 512))),
        Probe("gemv_cold", (4096,), lambda b, x: b.gemm(x, 4096)),
        Probe("fused", (128, 384), mlp(1536, "Gelu")),
        Probe(
            "elementwise", (64, 56, 56), chain(4, lambda b, x: b.mul(b.activation(x, "Tanh"), x))
        ),
        Probe("norm", (128, 384), chain(4, lambda b, x: b.layer_norm(x))),
        Probe("softmax", (8, 128, 128), chain(2, lambda b, x: b.add("Softmax", [x], b.shape(x)))),
        Probe("pool", (64, 112, 112), lambda b, x: b.pool(x, 3, 2, pad=1)),
        Probe("movement", (64, 56, 56), chain(2, _move)),
        Probe("reference_residual", (32, 28, 28), chain(3, _residual)),
        Probe("reference_mobile", (24, 28, 28), chain(4, _inverted)),
        Probe("reference_transformer", (64, 128), chain(2, _transformer)),
    )
}
"""By name. The last three are small whole networks: they show what a class alone cannot."""
