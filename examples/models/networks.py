# ruff: noqa: INP001 (a program and its modules, not a package)
"""Well-known networks, their published topology and shapes, with weights left out."""

from onnx import ModelProto

from acesniper.probe.graph_builder import GraphBuilder


def classify(b: GraphBuilder, x: str, classes: int = 1000) -> ModelProto:
    """The common head: mean over the image, then a dense layer."""
    return b.build(b.gemm(b.flatten(b.global_pool(x)), classes))


def image(b: GraphBuilder, size: int = 224) -> str:
    """An RGB image."""
    return b.input("image", 3, size, size)


def alexnet(b: GraphBuilder) -> ModelProto:
    """AlexNet, the one-GPU form."""
    x = b.pool(b.conv(image(b), 64, 11, stride=4, pad=2, act="Relu"), 3, 2)
    x = b.pool(b.conv(x, 192, 5, act="Relu"), 3, 2)
    for channels in (384, 256, 256):
        x = b.conv(x, channels, act="Relu")
    x = b.flatten(b.pool(x, 3, 2))
    return b.build(b.gemm(b.gemm(b.gemm(x, 4096, "Relu"), 4096, "Relu"), 1000))


def vgg11(b: GraphBuilder) -> ModelProto:
    """VGG configuration A."""
    x = image(b)
    for stage in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for channels in stage:
            x = b.conv(x, channels, act="Relu")
        x = b.pool(x, 2, 2)
    return b.build(b.gemm(b.gemm(b.gemm(b.flatten(x), 4096, "Relu"), 4096, "Relu"), 1000))


def resnet18(b: GraphBuilder) -> ModelProto:
    """ResNet with basic blocks."""
    x = b.pool(b.conv(image(b), 64, 7, stride=2, act="Relu"), 3, 2, pad=1)
    for stage, channels in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = b.conv(b.conv(x, channels, stride=stride, act="Relu"), channels)
            skip = b.conv(x, channels, 1, stride=2) if stride == 2 else x
            x = b.plus(y, skip, "Relu")
    return classify(b, x)


def resnet50(b: GraphBuilder) -> ModelProto:
    """ResNet with bottleneck blocks; the stride sits in the 3x3 (v1.5)."""
    x = b.pool(b.conv(image(b), 64, 7, stride=2, act="Relu"), 3, 2, pad=1)
    for stage, (channels, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = b.conv(x, channels, 1, act="Relu")
            y = b.conv(b.conv(y, channels, stride=stride, act="Relu"), 4 * channels, 1)
            skip = x if block else b.conv(x, 4 * channels, 1, stride=stride)
            x = b.plus(y, skip, "Relu")
    return classify(b, x)


def mobilenet_v2(b: GraphBuilder) -> ModelProto:
    """MobileNetV2, width 1.0."""
    x = b.conv(image(b), 32, stride=2, act="Relu6")
    stages = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
    )
    for expand, channels, blocks, first in (*stages, (6, 320, 1, 1)):
        for block in range(blocks):
            stride = 1 if block else first
            depth = b.shape(x)[0]
            y = b.conv(x, depth * expand, 1, act="Relu6") if expand > 1 else x
            y = b.conv(y, depth * expand, stride=stride, groups=depth * expand, act="Relu6")
            y = b.conv(y, channels, 1)
            x = b.plus(x, y) if stride == 1 and depth == channels else y
    return classify(b, b.conv(x, 1280, 1, act="Relu6"))


def squeeze_excite(b: GraphBuilder, x: str, hidden: int, act: str, gate: str) -> str:
    """Scale each channel by what the mean over the image says."""
    y = b.conv(b.global_pool(x), hidden, 1, act=act)
    return b.mul(x, b.conv(y, b.shape(x)[0], 1, act=gate))


def mobilenet_v3_small(b: GraphBuilder) -> ModelProto:
    """MobileNetV3-Small, width 1.0."""
    x = b.conv(image(b), 16, stride=2, act="HardSwish")
    rows = (
        (3, 16, 16, True, "Relu", 2),
        (3, 72, 24, False, "Relu", 2),
        (3, 88, 24, False, "Relu", 1),
        (5, 96, 40, True, "HardSwish", 2),
        (5, 240, 40, True, "HardSwish", 1),
        (5, 240, 40, True, "HardSwish", 1),
        (5, 120, 48, True, "HardSwish", 1),
        (5, 144, 48, True, "HardSwish", 1),
        (5, 288, 96, True, "HardSwish", 2),
        (5, 576, 96, True, "HardSwish", 1),
        (5, 576, 96, True, "HardSwish", 1),
    )
    for kernel, wide, channels, excite, act, stride in rows:
        depth = b.shape(x)[0]
        y = b.conv(x, wide, 1, act=act) if wide != depth else x
        y = b.conv(y, wide, kernel, stride=stride, groups=wide, act=act)
        if excite:
            hidden = max(8, (wide // 4 + 4) // 8 * 8)
            y = squeeze_excite(b, y, hidden, "Relu", "HardSigmoid")
        y = b.conv(y, channels, 1)
        x = b.plus(x, y) if stride == 1 and depth == channels else y
    x = b.flatten(b.global_pool(b.conv(x, 576, 1, act="HardSwish")))
    return b.build(b.gemm(b.gemm(x, 1024, "HardSwish"), 1000))


def squeezenet1_1(b: GraphBuilder) -> ModelProto:
    """SqueezeNet 1.1."""
    x = b.pool(b.conv(image(b), 64, stride=2, pad=0, act="Relu"), 3, 2, ceil=True)
    for squeeze, expand, pool in (
        (16, 64, False),
        (16, 64, True),
        (32, 128, False),
        (32, 128, True),
        (48, 192, False),
        (48, 192, False),
        (64, 256, False),
        (64, 256, False),
    ):
        y = b.conv(x, squeeze, 1, act="Relu")
        x = b.concat([b.conv(y, expand, 1, act="Relu"), b.conv(y, expand, 3, act="Relu")])
        x = b.pool(x, 3, 2, ceil=True) if pool else x
    return b.build(b.flatten(b.global_pool(b.conv(x, 1000, 1, act="Relu"))))


def shuffle(b: GraphBuilder, x: str) -> str:
    """Interleave the two halves of the channels."""
    channels, height, width = b.shape(x)
    y = b.reshape(x, 2, channels // 2, height, width)
    return b.reshape(b.transpose(y, 2, 1, 3, 4), channels, height, width)


def shufflenet_v2(b: GraphBuilder) -> ModelProto:
    """ShuffleNetV2, width 1.0."""
    x = b.pool(b.conv(image(b), 24, stride=2, act="Relu"), 3, 2, pad=1)
    for channels, blocks in ((116, 4), (232, 8), (464, 4)):
        half = channels // 2
        for block in range(blocks):
            stride = 1 if block else 2
            left = right = x
            if block:
                shape = (half, *b.shape(x)[1:])
                axes, bounds = b.constant([1]), [b.constant([i * half]) for i in range(3)]
                left = b.add("Slice", [x, bounds[0], bounds[1], axes], shape)
                right = b.add("Slice", [x, bounds[1], bounds[2], axes], shape)
            else:
                left = b.conv(x, b.shape(x)[0], stride=2, groups=b.shape(x)[0])
                left = b.conv(left, half, 1, act="Relu")
            right = b.conv(right, half, 1, act="Relu")
            right = b.conv(b.conv(right, half, stride=stride, groups=half), half, 1, act="Relu")
            x = shuffle(b, b.concat([left, right]))
    return classify(b, b.conv(x, 1024, 1, act="Relu"))


def efficientnet_b0(b: GraphBuilder) -> ModelProto:
    """EfficientNet-B0."""
    x = b.conv(image(b), 32, stride=2, act="Silu")
    stages = (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
    )
    for expand, kernel, first, channels, blocks in (*stages, (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)):
        for block in range(blocks):
            stride = 1 if block else first
            depth = b.shape(x)[0]
            y = b.conv(x, depth * expand, 1, act="Silu") if expand > 1 else x
            y = b.conv(y, depth * expand, kernel, stride=stride, groups=depth * expand, act="Silu")
            y = b.conv(squeeze_excite(b, y, depth // 4, "Silu", "Sigmoid"), channels, 1)
            x = b.plus(x, y) if stride == 1 and depth == channels else y
    return classify(b, b.conv(x, 1280, 1, act="Silu"))


def googlenet(b: GraphBuilder) -> ModelProto:
    """GoogLeNet with batch norms folded, without the auxiliary heads."""
    x = b.pool(b.conv(image(b), 64, 7, stride=2, act="Relu"), 3, 2, ceil=True)
    x = b.pool(b.conv(b.conv(x, 64, 1, act="Relu"), 192, act="Relu"), 3, 2, ceil=True)
    rows = (
        ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
        (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ),
        ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
    )
    for stage, blocks in enumerate(rows):
        if stage:
            x = b.pool(x, 3 if stage == 1 else 2, 2, ceil=True)
        for one, red3, three, red5, five, proj in blocks:
            parts = [
                b.conv(x, one, 1, act="Relu"),
                b.conv(b.conv(x, red3, 1, act="Relu"), three, act="Relu"),
                b.conv(b.conv(x, red5, 1, act="Relu"), five, act="Relu"),
                b.conv(b.pool(x, 3, 1, pad=1), proj, 1, act="Relu"),
            ]
            x = b.concat(parts)
    return classify(b, x)


def densenet121(b: GraphBuilder) -> ModelProto:
    """DenseNet-121; the norm before each layer cannot be folded, so it stays Mul and Add."""

    def norm(x: str) -> str:
        channels = b.shape(x)[0]
        x = b.mul(x, b.weight(channels, 1, 1, fan_in=1))
        return b.activation(b.add("Add", [x, b.weight(channels, 1, 1)], b.shape(x)), "Relu")

    x = b.pool(b.conv(image(b), 64, 7, stride=2, act="Relu"), 3, 2, pad=1)
    for stage, layers in enumerate((6, 12, 24, 16)):
        if stage:
            x = b.pool(b.conv(norm(x), b.shape(x)[0] // 2, 1), 2, 2, kind="Average")
        for _ in range(layers):
            x = b.concat([x, b.conv(b.conv(norm(x), 128, 1, act="Relu"), 32)])
    return classify(b, norm(x))


def unet_small(b: GraphBuilder) -> ModelProto:
    """U-Net over 128x128 RGB, 16 to 128 channels, two classes."""
    x = image(b, 128)
    skips = []
    for channels in (16, 32, 64):
        x = b.conv(b.conv(x, channels, act="Relu"), channels, act="Relu")
        skips.append(x)
        x = b.pool(x, 2, 2)
    x = b.conv(b.conv(x, 128, act="Relu"), 128, act="Relu")
    for channels in (64, 32, 16):
        x = b.concat([b.conv_transpose(x, channels), skips.pop()])
        x = b.conv(b.conv(x, channels, act="Relu"), channels, act="Relu")
    return b.build(b.conv(x, 2, 1))


def encoder(b: GraphBuilder, x: str, heads: int, layers: int, *, norm_first: bool) -> str:
    """Transformer layers over (batch, tokens, width)."""
    width = b.shape(x)[-1]
    for _ in range(layers):
        if norm_first:
            x = b.plus(x, b.attention(b.layer_norm(x), heads))
            x = b.plus(x, b.linear(b.linear(b.layer_norm(x), 4 * width, "Gelu"), width))
        else:
            x = b.layer_norm(b.plus(x, b.attention(x, heads)))
            x = b.layer_norm(b.plus(x, b.linear(b.linear(x, 4 * width, "Gelu"), width)))
    return x


def vit_tiny(b: GraphBuilder) -> ModelProto:
    """ViT-Ti/16 at 224; the class token is replaced by the mean over 196 patches."""
    x = b.conv(image(b), 192, 16, stride=16, pad=0)
    x = b.transpose(b.reshape(x, 192, 196), 2, 1)
    x = b.add("Add", [x, b.weight(196, 192)], (196, 192))
    x = b.layer_norm(encoder(b, x, 3, 12, norm_first=True))
    pooled = b.add("ReduceMean", [x], (192,), axes=[1], keepdims=0)
    return b.build(b.gemm(pooled, 1000))


def tokens(b: GraphBuilder, length: int | str, width: int, words: int = 30522) -> str:
    """Token ids looked up in an embedding table."""
    ids = b.input("input_ids", length, integer=True)
    known = length if isinstance(length, int) else 0
    return b.add("Gather", [b.weight(words, width), ids], (known, width), axis=0)


def minilm(b: GraphBuilder) -> ModelProto:
    """MiniLM: 6 layers, width 384, 128 tokens."""
    x = b.add("Add", [tokens(b, 128, 384), b.weight(128, 384)], (128, 384))
    x = encoder(b, b.layer_norm(x), 12, 6, norm_first=False)
    return b.build(b.add("ReduceMean", [x], (384,), axes=[1], keepdims=0))


def bert_tiny(b: GraphBuilder) -> ModelProto:
    """BERT-Tiny: 2 layers, width 128, any number of tokens (the dimension `sequence`)."""
    x = encoder(b, b.layer_norm(tokens(b, "sequence", 128)), 2, 2, norm_first=False)
    return b.build(b.add("ReduceMean", [x], (128,), axes=[1], keepdims=0))


def lstm_tagger(b: GraphBuilder) -> ModelProto:
    """A bidirectional two-layer LSTM, width 256, tagging 64 tokens with 20 classes."""
    x = b.add("Transpose", [tokens(b, 64, 128, 10000)], (0, 128), perm=[1, 0, 2])
    x = b.lstm(b.lstm(x, 256, both_ways=True), 256, both_ways=True)
    return b.build(b.linear(x, 20))


NETWORKS = (
    alexnet,
    vgg11,
    resnet18,
    resnet50,
    mobilenet_v2,
    mobilenet_v3_small,
    squeezenet1_1,
    shufflenet_v2,
    efficientnet_b0,
    googlenet,
    densenet121,
    unet_small,
    vit_tiny,
    minilm,
    bert_tiny,
    lstm_tagger,
)
"""The networks, each a function that finishes an empty graph."""
