"""Read ncnn's `.param` files: a line per layer, with the shapes of what it gives as a hint.

Form: github.com/Tencent/ncnn/wiki/param-and-model-file-structure. Shapes come from the hints
(`-23330=`) or the rules of the layers that change them.
"""

from math import prod
from pathlib import Path

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.traits import Operator, operator

MAGIC = "7767517"
FREE = frozenset(("Input", "Split", "Noop", "Flatten", "Reshape", "MemoryData", "Dropout"))
"""Layers that take no time."""

CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "DeconvolutionDepthWise", "Deconvolution")
SHAPES = "-23330"

Shape = tuple[int, ...]

IMAGE: Shape = (224, 224, 3)
"""Taken for an input that states no size: a guess, as nothing in the file says more."""


def read_param(path: Path) -> tuple[Operator, ...]:
    """The operators of a network. Raises InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not readable: {error}") from error
    if len(lines) < 2 or lines[0].strip() != MAGIC:
        raise InvalidInput(f"{path} is no ncnn .param file of the text form")
    shapes: dict[str, Shape] = {}
    try:
        found = [_layer(line.split(), shapes) for line in lines[2:] if line.strip()]
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"{path} has a layer that cannot be read: {error}") from error
    return tuple(each for each in found if each is not None)


def _layer(words: list[str], shapes: dict[str, Shape]) -> Operator | None:
    kind, ins, outs = words[0], int(words[2]), int(words[3])
    blobs = words[4 : 4 + ins + outs]
    settings = dict(word.split("=", 1) for word in words[4 + ins + outs :])
    read = [shapes.get(name, ()) for name in blobs[:ins]]
    given = _given(settings, outs) or _by_rule(kind, settings, read) or [read[0] if read else ()]
    for name, shape in zip(blobs[ins:], given * outs if len(given) < outs else given, strict=False):
        shapes[name] = shape
    return None if kind in FREE else _operator(kind, settings, read, given)


def _given(settings: dict[str, str], outs: int) -> list[Shape]:
    """The hinted shapes: for each blob its rank and three sizes (width, height, channels)."""
    numbers = [int(each) for each in settings.get(SHAPES, "0").split(",")][1:]
    quads = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    return [tuple(quad[1 : 1 + max(quad[0], 1)]) for quad in quads][:outs]


def _by_rule(kind: str, settings: dict[str, str], read: list[Shape]) -> list[Shape]:
    """Shapes of the layers that change them, for files without hints."""
    if kind == "Input":
        sizes = tuple(int(settings[key]) for key in "012" if key in settings)
        return [sizes or IMAGE]
    if not read or len(read[0]) != 3:
        return []
    width, height, channels = read[0]
    if kind in CONVOLUTIONS or kind == "Pooling":
        if kind == "Pooling" and settings.get("4") == "1":
            return [(channels,)]
        kernel, stride = int(settings.get("1", 1)), int(settings.get("3", 1))
        if kind == "Pooling":
            stride = int(settings.get("2", 1))
        pad = int(settings.get("4" if kind != "Pooling" else "3", 0))
        pad = (kernel - 1) // 2 if pad < 0 else pad
        image = [(size + 2 * pad - kernel) // stride + 1 for size in (width, height)]
        return [(*image, int(settings.get("0", 1)) if kind != "Pooling" else channels)]
    if kind == "Concat":
        return [(width, height, sum(shape[-1] for shape in read if shape))]
    return []


def _operator(
    kind: str, settings: dict[str, str], read: list[Shape], given: list[Shape]
) -> Operator:
    pixels = prod(given[0][:2]) if len(given[0]) == 3 else 1
    convolution = kind in CONVOLUTIONS
    weights = float(settings.get("6", 0)) if convolution else 0.0
    if kind == "InnerProduct":
        weights = float(settings.get("2", 0))
    kernel = int(settings.get("1", 0)) if convolution or kind == "Pooling" else 0
    quantised = convolution and settings.get("8", "0") != "0"
    quantised = quantised or (kind == "InnerProduct" and settings.get("8", "0") != "0")
    if convolution and kernel > 1:
        kind = f"{kind} wide"
    return operator(
        f"{kind} int8" if quantised else kind,
        flops=weights * pixels,
        read=sum(prod(shape) for shape in read),
        written=sum(prod(shape) for shape in given),
        weights=weights,
        kernel=kernel,
        stride=int(settings.get("3", 1)) if convolution else 0,
        groups=int(settings.get("7", 1)) if convolution else 0,
    )
