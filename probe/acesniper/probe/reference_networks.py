"""Reference networks: small forms of the families that most models belong to.

Each has the stem, the blocks and the head of its family at a size that takes a laptop core one to
a few milliseconds. What one operator class cannot show (fusions, layouts, hand-overs between
kernels, weights streamed once per run) shows here. Every network starts from a float input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acesniper.probe.graph_builder import GraphBuilder

Layers = Callable[[GraphBuilder, str], str]
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Reference:
    """A network over one float input of shape (batch, *dims)."""

    dims: tuple[int, ...]
    layers: Layers
    batch: int = 1


def _classify(b: GraphBuilder, x: str) -> str:
    """The common head: mean over the image, then a dense layer."""
    return b.gemm(b.flatten(b.global_pool(x)), CLASSES)


def _mean_of_tokens(b: GraphBuilder, x: str) -> str:
    width = b.shape(x)[-1]
    return b.add("ReduceMean", [x], (width,), axes=[1], keepdims=0)


def _patches(b: GraphBuilder, x: str, width: int, size: int) -> str:
    """An image as (batch, tokens, width)."""
    x = b.conv(x, width, size, stride=size, pad=0)
    _, high, wide = b.shape(x)
    return b.transpose(b.reshape(x, width, high * wide), 2, 1)


def resnet(b: GraphBuilder, x: str) -> str:
    """ResNet with basic blocks, one a stage (He et al. 2016)."""
    x = b.pool(b.conv(x, 32, 7, stride=2, act="Relu"), 3, 2, pad=1)
    for channels in (32, 64, 128, 256):
        depth = b.shape(x)[0]
        stride = 1 if depth == channels else 2
        y = b.conv(b.conv(x, channels, stride=stride, act="Relu"), channels)
        x = b.plus(y, x if stride == 1 else b.conv(x, channels, 1, stride=2), "Relu")
    return _classify(b, x)


def _inverted(b: GraphBuilder, x: str, row: tuple[int, int, int, int], act: str, se: bool) -> str:
    """An inverted bottleneck of (expansion, kernel, stride, channels), with or without gates."""
    expand, kernel, stride, channels = row
    depth = b.shape(x)[0]
    wide = depth * expand
    y = b.conv(x, wide, 1, act=act) if expand > 1 else x
    y = b.conv(y, wide, kernel, stride=stride, groups=wide, act=act)
    if se:
        gate = b.conv(b.global_pool(y), max(4, depth // 4), 1, act=act)
        y = b.mul(y, b.conv(gate, wide, 1, act="Sigmoid"))
    y = b.conv(y, channels, 1)
    return b.plus(x, y) if stride == 1 and depth == channels else y


def mobilenet(b: GraphBuilder, x: str) -> str:
    """MobileNetV2 with fewer blocks (Sandler et al. 2018)."""
    x = b.conv(x, 32, stride=2, act="Relu6")
    for row in (
        (1, 3, 1, 16),
        (6, 3, 2, 24),
        (6, 3, 1, 24),
        (6, 3, 2, 32),
        (6, 3, 1, 32),
        (6, 3, 2, 64),
        (6, 3, 1, 64),
        (6, 3, 1, 96),
        (6, 3, 2, 160),
        (6, 3, 1, 160),
    ):
        x = _inverted(b, x, row, "Relu6", se=False)
    return _classify(b, b.conv(x, 640, 1, act="Relu6"))


def efficientnet(b: GraphBuilder, x: str) -> str:
    """EfficientNet with fewer blocks: gates per channel and SiLU (Tan and Le 2019)."""
    x = b.conv(x, 24, stride=2, act="Silu")
    for row in (
        (1, 3, 1, 16),
        (6, 3, 2, 24),
        (6, 5, 2, 40),
        (6, 5, 1, 40),
        (6, 3, 2, 80),
        (6, 5, 1, 112),
        (6, 5, 2, 160),
    ):
        x = _inverted(b, x, row, "Silu", se=True)
    return _classify(b, b.conv(x, 640, 1, act="Silu"))


def densenet(b: GraphBuilder, x: str) -> str:
    """DenseNet, growth 16: unfoldable norms, many concatenations (Huang et al. 2017)."""
    x = b.pool(b.conv(x, 32, 7, stride=2, act="Relu"), 3, 2, pad=1)
    for stage, layers in enumerate((4, 6, 6)):
        if stage:
            half = b.shape(x)[0] // 2
            x = b.pool(b.conv(b.batch_norm(x, "Relu"), half, 1), 2, 2, kind="Average")
        for _ in range(layers):
            y = b.conv(b.batch_norm(x, "Relu"), 64, 1, act="Relu")
            x = b.concat([x, b.conv(y, 16)])
    return _classify(b, b.batch_norm(x, "Relu"))


def _shuffled(b: GraphBuilder, x: str) -> str:
    """The two halves of the channels interleaved."""
    channels, high, wide = b.shape(x)
    y = b.reshape(x, 2, channels // 2, high, wide)
    return b.reshape(b.transpose(y, 2, 1, 3, 4), channels, high, wide)


def _half(b: GraphBuilder, x: str, which: int) -> str:
    channels, *space = b.shape(x)
    half = channels // 2
    bounds = [b.constant([which * half]), b.constant([(which + 1) * half]), b.constant([1])]
    return b.add("Slice", [x, *bounds], (half, *space))


def shufflenet(b: GraphBuilder, x: str) -> str:
    """ShuffleNetV2 with fewer blocks: split, concatenate and shuffle channels (Ma et al. 2018)."""
    x = b.pool(b.conv(x, 24, stride=2, act="Relu"), 3, 2, pad=1)
    for channels, blocks in ((116, 3), (232, 4), (464, 2)):
        half = channels // 2
        for block in range(blocks):
            stride, left, right = (1, _half(b, x, 0), _half(b, x, 1)) if block else (2, x, x)
            if not block:
                depth = b.shape(x)[0]
                left = b.conv(b.conv(x, depth, stride=2, groups=depth), half, 1, act="Relu")
            right = b.conv(right, half, 1, act="Relu")
            right = b.conv(b.conv(right, half, stride=stride, groups=half), half, 1, act="Relu")
            x = _shuffled(b, b.concat([left, right]))
    return _classify(b, b.conv(x, 1024, 1, act="Relu"))


def inception(b: GraphBuilder, x: str) -> str:
    """GoogLeNet with four modules (Szegedy et al. 2015)."""
    x = b.pool(b.conv(x, 32, 7, stride=2, act="Relu"), 3, 2, pad=1)
    x = b.pool(b.conv(b.conv(x, 32, 1, act="Relu"), 96, act="Relu"), 3, 2, pad=1)
    for stage in (
        ((32, 48, 64, 8, 16, 16), (64, 64, 96, 16, 48, 32)),
        ((96, 48, 104, 8, 24, 32),) * 2,
    ):
        for one, red3, three, red5, five, proj in stage:
            parts = [
                b.conv(x, one, 1, act="Relu"),
                b.conv(b.conv(x, red3, 1, act="Relu"), three, act="Relu"),
                b.conv(b.conv(x, red5, 1, act="Relu"), five, 5, act="Relu"),
                b.conv(b.pool(x, 3, 1, pad=1), proj, 1, act="Relu"),
            ]
            x = b.concat(parts)
        x = b.pool(x, 3, 2, pad=1)
    return _classify(b, x)


def convnext(b: GraphBuilder, x: str) -> str:
    """ConvNeXt: 7x7 depthwise, layer norms, and the layout transposed twice a block (Liu 2022)."""
    x = b.conv(x, 48, 4, stride=4, pad=0)
    for stage, channels in enumerate((48, 96, 192)):
        if stage:
            x = b.conv(_norm_channels(b, x), channels, 2, stride=2, pad=0)
        for _ in range(2):
            y = b.transpose(b.conv(x, channels, 7, groups=channels), 2, 3, 1)
            y = b.linear(b.linear(b.layer_norm(y), 4 * channels, "Gelu"), channels)
            y = b.mul(y, b.weight(channels, fan_in=1))
            x = b.plus(x, b.transpose(y, 3, 1, 2))
    pooled = b.reshape(b.global_pool(x), 192)
    return b.gemm(b.layer_norm(pooled), CLASSES)


def _norm_channels(b: GraphBuilder, x: str) -> str:
    return b.transpose(b.layer_norm(b.transpose(x, 2, 3, 1)), 3, 1, 2)


def vit(b: GraphBuilder, x: str) -> str:
    """A vision transformer over 64 patches, norms first (Dosovitskiy et al. 2021)."""
    x = _patches(b, x, 192, 16)
    x = b.add("Add", [x, b.weight(*b.shape(x))], b.shape(x))
    for _ in range(3):
        x = b.plus(x, b.attention(b.layer_norm(x), 3))
        x = b.plus(x, b.linear(b.linear(b.layer_norm(x), 768, "Gelu"), 192))
    return b.gemm(_mean_of_tokens(b, b.layer_norm(x)), CLASSES)


def bert(b: GraphBuilder, x: str) -> str:
    """A BERT encoder over 128 embedded tokens, norms last (Devlin et al. 2019)."""
    x = b.layer_norm(b.add("Add", [x, b.weight(*b.shape(x))], b.shape(x)))
    for _ in range(3):
        x = b.layer_norm(b.plus(x, b.attention(x, 2)))
        x = b.layer_norm(b.plus(x, b.linear(b.linear(x, 512, "Gelu"), 128)))
    return b.gemm(b.gemm(_mean_of_tokens(b, x), 128, "Tanh"), 2)


def mixer(b: GraphBuilder, x: str) -> str:
    """MLP-Mixer: dense layers over tokens and channels alternately (Tolstikhin et al. 2021)."""
    x = _patches(b, x, 192, 16)
    tokens = b.shape(x)[0]
    for _ in range(4):
        y = b.transpose(b.layer_norm(x), 2, 1)
        y = b.linear(b.linear(y, 2 * tokens, "Gelu"), tokens)
        x = b.plus(x, b.transpose(y, 2, 1))
        x = b.plus(x, b.linear(b.linear(b.layer_norm(x), 576, "Gelu"), 192))
    return b.gemm(_mean_of_tokens(b, b.layer_norm(x)), CLASSES)


def unet(b: GraphBuilder, x: str) -> str:
    """U-Net of three levels with transposed convolutions (Ronneberger et al. 2015)."""
    skips = []
    for channels in (8, 16, 32):
        x = b.conv(b.conv(x, channels, act="Relu"), channels, act="Relu")
        skips.append(x)
        x = b.pool(x, 2, 2)
    x = b.conv(b.conv(x, 64, act="Relu"), 64, act="Relu")
    for channels in (32, 16, 8):
        x = b.concat([b.conv_transpose(x, channels), skips.pop()])
        x = b.conv(b.conv(x, channels, act="Relu"), channels, act="Relu")
    return b.conv(x, 2, 1)


def _partial(b: GraphBuilder, x: str, channels: int) -> str:
    """A cross-stage partial block: half of the channels pass a bottleneck, then all join."""
    y = b.conv(x, channels, 1, act="Silu")
    first, second = _half(b, y, 0), _half(b, y, 1)
    half = channels // 2
    third = b.plus(second, b.conv(b.conv(second, half, act="Silu"), half, act="Silu"))
    return b.conv(b.concat([first, second, third]), channels, 1, act="Silu")


def yolo(b: GraphBuilder, x: str) -> str:
    """A YOLO of two scales: SiLU, pyramid pooling, up-sampling (Redmon 2016; v8's blocks)."""
    x = b.conv(x, 16, stride=2, act="Silu")
    stages = []
    for channels in (32, 64, 128):
        x = _partial(b, b.conv(x, channels, stride=2, act="Silu"), channels)
        stages.append(x)
    pooled = [b.conv(x, 64, 1, act="Silu")]
    for _ in range(3):
        pooled.append(b.pool(pooled[-1], 5, 1, pad=2))
    deep = b.conv(b.concat(pooled), 128, 1, act="Silu")
    fine = _partial(b, b.concat([b.upsample(deep), stages[1]]), 64)
    heads = []
    for scale in (fine, deep):
        y = b.conv(b.conv(scale, 64, act="Silu"), 85, 1)
        heads.append(b.reshape(y, 85, -1))
    return b.add("Concat", heads, (85, sum(b.shape(head)[1] for head in heads)), axis=2)


def tagger(b: GraphBuilder, x: str) -> str:
    """A bidirectional two-layer LSTM over 48 embedded tokens (Huang et al. 2015)."""
    x = b.lstm(b.lstm(x, 128, both_ways=True), 128, both_ways=True)
    return b.linear(x, 20)


REFERENCES: Mapping[str, Reference] = {
    "net_resnet": Reference((3, 128, 128), resnet),
    "net_mobilenet": Reference((3, 128, 128), mobilenet),
    "net_efficientnet": Reference((3, 128, 128), efficientnet),
    "net_densenet": Reference((3, 112, 112), densenet),
    "net_shufflenet": Reference((3, 160, 160), shufflenet),
    "net_inception": Reference((3, 112, 112), inception),
    "net_convnext": Reference((3, 96, 96), convnext),
    "net_vit": Reference((3, 128, 128), vit),
    "net_bert": Reference((128, 128), bert),
    "net_mixer": Reference((3, 128, 128), mixer),
    "net_yolo": Reference((3, 128, 128), yolo),
    "net_unet": Reference((3, 96, 96), unet),
    "net_tagger": Reference((1, 128), tagger, batch=48),
}
"""Reference networks by the name of their probe."""
