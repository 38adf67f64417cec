"""Read ncnn's `.param` files: a line per layer, with the shapes of its outputs as a hint.

Form: github.com/Tencent/ncnn/wiki/param-and-model-file-structure. Shapes come from the hints
(`-23330=`) or from the rules of the layers that change them.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.operators import TraitOperator, operator

MAGIC = "7767517"
FREE = frozenset(("Input", "Split", "Noop", "Flatten", "Reshape", "MemoryData", "Dropout"))
"""Layers that take no time."""

CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "DeconvolutionDepthWise", "Deconvolution")
SHAPES = "-23330"

Shape = tuple[int, ...]

IMAGE: Shape = (224, 224, 3)
"""Taken for an input that states no size: a guess, as nothing in the file says more."""

IMAGES: Mapping[str, Shape] = {
    "FastestDet": (352, 352, 3),
    "vision_transformer": (384, 384, 3),
}
"""Sizes that ncnn's own benchmark (benchmark/benchncnn.cpp) gives networks that state none."""


def read_ncnn_param(path: Path) -> tuple[TraitOperator, ...]:
    """The operators of a network. Raises InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not readable: {error}") from error
    if len(lines) < 2 or lines[0].strip() != MAGIC:
        raise InvalidInput(f"{path} is no ncnn .param file of the text form")
    shapes: dict[str, Shape] = {"": IMAGES.get(path.stem, IMAGE)}
    try:
        found = [_layer(line.split(), shapes) for line in lines[2:] if line.strip()]
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"{path} has a layer that cannot be read: {error}") from error
    return tuple(operator for operator in found if operator is not None)


def _layer(words: list[str], shapes: dict[str, Shape]) -> TraitOperator | None:
    kind, ins, outs = words[0], int(words[2]), int(words[3])
    blobs = words[4 : 4 + ins + outs]
    settings = dict(word.split("=", 1) for word in words[4 + ins + outs :])
    read = [shapes.get(name, ()) for name in (blobs[:ins] if kind != "Input" else [""])]
    given = _given(settings, outs) or _by_rule(kind, settings, read) or [read[0] if read else ()]
    for name, shape in zip(blobs[ins:], given * outs if len(given) < outs else given, strict=False):
        shapes[name] = shape
    return None if kind in FREE else _layer_operator(kind, settings, read, given)


def _given(settings: dict[str, str], outs: int) -> list[Shape]:
    """The hinted shapes: for each blob its rank and three sizes (width, height, channels)."""
    numbers = [int(number) for number in settings.get(SHAPES, "0").split(",")][1:]
    quads = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    return [tuple(quad[1 : 1 + max(quad[0], 1)]) for quad in quads][:outs]


def _by_rule(kind: str, settings: dict[str, str], read: list[Shape]) -> list[Shape]:
    """Shapes of the layers that change them, for files without hints; [] where they stay."""
    if kind in ("Input", "MemoryData"):
        sizes = tuple(int(settings[key]) for key in "012" if key in settings)
        return [sizes or read[0]] if sizes or read else []
    if kind in ("Gemm", "InnerProduct"):
        columns = int(settings.get("8" if kind == "Gemm" else "0", 1))
        return [(columns, *read[0][1:2])] if kind == "Gemm" and read else [(columns,)]
    if not read or not read[0]:
        return []
    if len(read[0]) == 3:
        return _image(kind, settings, read)
    if kind == "Permute":
        return [read[0][::-1]]
    if kind == "Concat":
        return [(read[0][0], sum(shape[-1] for shape in read if shape))]
    return []


def _image(kind: str, settings: dict[str, str], read: list[Shape]) -> list[Shape]:
    """The same for layers that read an image: width, height, channels."""
    width, height, channels = read[0]
    if kind in CONVOLUTIONS or kind == "Pooling":
        return _window(kind, settings, read[0])
    if kind == "Concat":
        return [(width, height, sum(shape[-1] for shape in read if shape))]
    if kind == "Interp":
        grown = (float(settings.get("2", 1)), float(settings.get("1", 1)))
        return [(int(width * grown[0]), int(height * grown[1]), channels)]
    if kind == "Reshape" and "2" not in settings:
        return [(width * height, channels)]
    return []


def _window(kind: str, settings: dict[str, str], read: Shape) -> list[Shape]:
    *sizes, channels = read
    if kind == "Pooling":
        names, many = ("2", "3"), channels
        if settings.get("4") == "1":
            return [(channels,)]
    else:
        names, many = ("3", "4"), int(settings.get("0", 1))
    kernel, stride = int(settings.get("1", 1)), int(settings.get(names[0], 1))
    pad = int(settings.get(names[1], 0))
    pad = (kernel - 1) // 2 if pad < 0 else pad
    return [(*((size + 2 * pad - kernel) // stride + 1 for size in sizes), many)]


def _layer_operator(
    kind: str, settings: dict[str, str], read: list[Shape], given: list[Shape]
) -> TraitOperator:
    convolution = kind in CONVOLUTIONS
    weights, pixels = _layer_weights(kind, settings), 1
    if len(given[0]) > 1:
        pixels = prod(given[0][:2]) if len(given[0]) == 3 else given[0][1]
    between = 0
    if kind == "MultiHeadAttention":  # the products of tokens with tokens
        between = 2 * pixels**2 * int(settings.get("0", 0))
    kernel = int(settings.get("1", 0)) if convolution or kind == "Pooling" else 0
    quantised = convolution and settings.get("8", "0") != "0"
    quantised = quantised or (kind == "InnerProduct" and settings.get("8", "0") != "0")
    groups = int(settings.get("7", 1)) if convolution else 0
    if 1 < groups < int(settings.get("0", 1)):
        kind = f"{kind} grouped"
    elif convolution and kernel > 1:
        kind = f"{kind} wide"
    return operator(
        f"{kind} int8" if quantised else kind,
        flops=weights * pixels + between,
        read=sum(prod(shape) for shape in read),
        written=sum(prod(shape) for shape in given),
        weights=weights,
        kernel=kernel,
        stride=int(settings.get("3", 1)) if convolution else 0,
        groups=groups,
    )


def _layer_weights(kind: str, settings: dict[str, str]) -> float:
    if kind in CONVOLUTIONS:
        return float(settings.get("6", 0))
    if kind == "InnerProduct":
        return float(settings.get("2", 0))
    if kind == "Gemm":
        return float(settings.get("8", 0)) * float(settings.get("9", 0))
    return 4 * float(settings.get("2", 0)) if kind == "MultiHeadAttention" else 0.0
