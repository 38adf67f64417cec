"""Builder of ONNX graphs, layer by layer, with weights that need no space in the file.

A weight is a `ConstantOfShape` node that runtimes fold when they load the graph, so that a whole
ResNet is a file of some kilobytes. Each weight has its own value, or else a runtime would merge
equal ones and keep in cache what a real network streams from memory. Values average their inputs
(1 / fan-in), so that activations neither vanish (denormals are slow) nor overflow.
"""

import math
from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

OPSET = 17
LAYER_NORM_SINCE = 17
"""First operator set with LayerNormalization; exporters of older ones decompose the norm."""
IR_VERSION = 8
Dimension = int | str


class GraphBuilder:
    """A graph under construction; each method adds one layer and returns its output's name.

    Shapes are tracked without the batch: `shape(name)` holds what follows the first dimension.
    """

    def __init__(self, name: str, *, dense: bool = False, opset: int = OPSET) -> None:
        self._name = name
        self._dense = dense
        self._opset = opset
        self._nodes: list[NodeProto] = []
        self._inputs: list[tuple[str, int, tuple[Dimension, ...]]] = []
        self._initializers: list[TensorProto] = []
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._count = 0

    def shape(self, name: str) -> tuple[int, ...]:
        """Dimensions after the batch; 0 for a symbolic one."""
        return self._shapes[name]

    def input(
        self, name: str, *dims: Dimension, batch: Dimension = "batch", integer: bool = False
    ) -> str:
        """A graph input of shape (batch, *dims), float32 or int64."""
        kind = TensorProto.INT64 if integer else TensorProto.FLOAT
        self._inputs.append((name, kind, (batch, *dims)))
        self._shapes[name] = tuple(d if isinstance(d, int) else 0 for d in dims)
        return name

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        **attributes: object,
    ) -> str:
        """Any node with one output of the given shape (without the batch)."""
        self._count += 1
        output = f"{op.lower()}_{self._count}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        self._shapes[output] = tuple(shape)
        return output

    def constant(self, values: object) -> str:
        """An int64 initializer: shapes, axes, indices."""
        return self._initializer(np.asarray(values, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """A float32 scalar initializer."""
        return self._initializer(np.asarray(value, dtype=np.float32))

    def weight(self, *shape: int, fan_in: int = 100) -> str:
        """A float32 tensor filled with about 1 / fan_in, a value that no other weight has."""
        self._count += 1
        value = np.float32((1 + self._count * 1e-4) / fan_in)
        if self._dense:
            return self._initializer(np.full(shape, value, dtype=np.float32))
        output = f"weight_{self._count}"
        dims = self.constant(shape)
        fill = numpy_helper.from_array(np.asarray([value], dtype=np.float32))
        self._nodes.append(
            helper.make_node("ConstantOfShape", [dims], [output], name=output, value=fill)
        )
        return output

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, ...] = 3,
        *,
        stride: int = 1,
        pad: int | tuple[int, ...] | None = None,
        groups: int = 1,
        act: str | None = None,
    ) -> str:
        """A convolution with bias (a folded batch norm), 1-D or 2-D; "same" padding."""
        depth, *space = self.shape(x)
        size = kernel if isinstance(kernel, tuple) else (kernel,) * len(space)
        if pad is None:
            pad = tuple(k // 2 for k in size)
        pads = pad if isinstance(pad, tuple) else (pad,) * len(space)
        fan_in = depth // groups * math.prod(size)
        weights = [
            self.weight(channels, depth // groups, *size, fan_in=fan_in),
            self.weight(channels),
        ]
        out = [(s + 2 * p - k) // stride + 1 for s, p, k in zip(space, pads, size, strict=True)]
        y = self.add(
            "Conv",
            [x, *weights],
            (channels, *out),
            kernel_shape=size,
            strides=[stride] * len(space),
            pads=[*pads, *pads],
            group=groups,
        )
        return self.activation(y, act)

    def conv_transpose(self, x: str, channels: int, kernel: int = 2, stride: int = 2) -> str:
        """An up-sampling transposed convolution without overlap or padding."""
        depth, height, width = self.shape(x)
        weights = [
            self.weight(depth, channels, kernel, kernel, fan_in=depth),
            self.weight(channels),
        ]
        out = (channels, (height - 1) * stride + kernel, (width - 1) * stride + kernel)
        return self.add(
            "ConvTranspose",
            [x, *weights],
            out,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
        )

    def upsample(self, x: str) -> str:
        """Twice as high and wide, each pixel repeated."""
        channels, height, width = self.shape(x)
        scales = self._initializer(np.asarray([1, 1, 2, 2], dtype=np.float32))
        return self.add(
            "Resize",
            [x, "", scales],
            (channels, 2 * height, 2 * width),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def activation(self, x: str, kind: str | None) -> str:
        """Relu, Relu6 (Clip), Silu, Gelu (by Erf) or any operator of one input."""
        shape = self.shape(x)
        if kind is None:
            return x
        if kind == "Relu6":
            return self.add("Clip", [x, self.scalar(0.0), self.scalar(6.0)], shape)
        if kind == "Silu":
            return self.mul(x, self.add("Sigmoid", [x], shape))
        if kind == "Gelu":
            scaled = self.add("Div", [x, self.scalar(math.sqrt(2))], shape)
            erf = self.add("Erf", [scaled], shape)
            shifted = self.add("Add", [erf, self.scalar(1.0)], shape)
            return self.add("Mul", [self.mul(x, shifted), self.scalar(0.5)], shape)
        return self.add(kind, [x], shape)

    def mul(self, a: str, b: str) -> str:
        """The elementwise product; `a` has the full shape."""
        return self.add("Mul", [a, b], self.shape(a))

    def plus(self, a: str, b: str, act: str | None = None) -> str:
        """The elementwise sum of equal shapes."""
        return self.activation(self.add("Add", [a, b], self.shape(a)), act)

    def concat(self, parts: Sequence[str]) -> str:
        """Concatenation along the channels."""
        first = self.shape(parts[0])
        channels = sum(self.shape(part)[0] for part in parts)
        return self.add("Concat", parts, (channels, *first[1:]), axis=1)

    def pool(
        self,
        x: str,
        kernel: int,
        stride: int,
        *,
        pad: int = 0,
        kind: str = "Max",
        ceil: bool = False,
    ) -> str:
        """A max or average pool over two dimensions."""
        channels, *space = self.shape(x)
        extra = stride - 1 if ceil else 0
        out = [(s + 2 * pad - kernel + extra) // stride + 1 for s in space]
        return self.add(
            f"{kind}Pool" if kind == "Max" else "AveragePool",
            [x],
            (channels, *out),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            ceil_mode=int(ceil),
        )

    def global_pool(self, x: str) -> str:
        """The mean over the image."""
        return self.add("GlobalAveragePool", [x], (self.shape(x)[0], 1, 1))

    def flatten(self, x: str) -> str:
        """Flatten all dimensions after the batch."""
        return self.add("Flatten", [x], (math.prod(self.shape(x)),), axis=1)

    def gemm(self, x: str, out: int, act: str | None = None) -> str:
        """A dense layer over (batch, features) as Gemm."""
        (depth,) = self.shape(x)
        weights = [self.weight(out, depth, fan_in=depth), self.weight(out)]
        return self.activation(self.add("Gemm", [x, *weights], (out,), transB=1), act)

    def linear(self, x: str, out: int, act: str | None = None) -> str:
        """A dense layer over the last dimension as MatMul and Add."""
        *lead, depth = self.shape(x)
        product = self.add("MatMul", [x, self.weight(depth, out, fan_in=depth)], (*lead, out))
        return self.activation(self.add("Add", [product, self.weight(out)], (*lead, out)), act)

    def layer_norm(self, x: str) -> str:
        """Layer normalisation over the last dimension, decomposed in old operator sets."""
        shape = self.shape(x)
        weights = [self.weight(shape[-1], fan_in=1), self.weight(shape[-1])]
        if self._opset >= LAYER_NORM_SINCE:
            return self.add("LayerNormalization", [x, *weights], shape, axis=-1)
        centred = self.add("Sub", [x, self._row_mean(x)], shape)
        squared = self.add("Pow", [centred, self.scalar(2.0)], shape)
        mean = self._row_mean(squared)
        safe = self.add("Add", [mean, self.scalar(1e-5)], self.shape(mean))
        deviation = self.add("Sqrt", [safe], self.shape(mean))
        scaled = self.mul(self.add("Div", [centred, deviation], shape), weights[0])
        return self.add("Add", [scaled, weights[1]], shape)

    def _row_mean(self, x: str) -> str:
        return self.add("ReduceMean", [x], (*self.shape(x)[:-1], 1), axes=[-1], keepdims=1)

    def batch_norm(self, x: str, act: str | None = None) -> str:
        """A batch normalisation that cannot be folded into a convolution before it."""
        channels = self.shape(x)[0]
        scale, variance = self.weight(channels, fan_in=1), self.weight(channels, fan_in=1)
        weights = [scale, self.weight(channels), self.weight(channels), variance]
        return self.activation(self.add("BatchNormalization", [x, *weights], self.shape(x)), act)

    def reshape(self, x: str, *dims: int) -> str:
        """A new shape after the batch; 0 copies a dimension, -1 is inferred by the runtime."""
        sizes = [self.shape(x)[i] if d == 0 else d for i, d in enumerate(dims)]
        if -1 in sizes:
            rest = math.prod(d for d in sizes if d != -1)
            sizes[sizes.index(-1)] = math.prod(self.shape(x)) // rest if rest else 0
        return self.add("Reshape", [x, self.constant([0, *dims])], sizes)

    def transpose(self, x: str, *order: int) -> str:
        """Permute the dimensions after the batch; `order` counts the batch as 0."""
        shape = self.shape(x)
        return self.add("Transpose", [x], [shape[i - 1] for i in order], perm=[0, *order])

    def attention(self, x: str, heads: int) -> str:
        """Multi-head self-attention over (batch, tokens, width), with its output projection."""
        tokens, width = self.shape(x)
        depth = width // heads

        def split(name: str, *order: int) -> str:
            return self.transpose(self.reshape(name, 0, heads, depth), *order)

        query = split(self.linear(x, width), 2, 1, 3)
        key = split(self.linear(x, width), 2, 3, 1)
        value = split(self.linear(x, width), 2, 1, 3)
        scores = self.add("MatMul", [query, key], (heads, tokens, tokens))
        scores = self.add("Div", [scores, self.scalar(math.sqrt(depth))], self.shape(scores))
        weights = self.add("Softmax", [scores], self.shape(scores), axis=-1)
        mixed = self.add("MatMul", [weights, value], (heads, tokens, depth))
        joined = self.reshape(self.transpose(mixed, 2, 1, 3), 0, width)
        return self.linear(joined, width)

    def lstm(self, x: str, hidden: int, *, both_ways: bool = False) -> str:
        """An LSTM over (tokens, batch, width); its output is (tokens, batch, directions x hidden).

        The first dimension of its input is the time, as the operator wants it.
        """
        width = self.shape(x)[-1]
        ways = 2 if both_ways else 1
        weights = [
            self.weight(ways, 4 * hidden, width, fan_in=width),
            self.weight(ways, 4 * hidden, hidden, fan_in=hidden),
            self.weight(ways, 8 * hidden),
        ]
        direction = "bidirectional" if both_ways else "forward"
        batch = self.shape(x)[0]
        y = self.add(
            "LSTM",
            [x, *weights],
            (ways, batch, hidden),
            hidden_size=hidden,
            direction=direction,
        )
        # Named though unused, as exporters do: one runtime wrote out of bounds otherwise.
        self._nodes[-1].output.extend([f"{y}_hidden", f"{y}_cell"])
        joined = self.add("Transpose", [y], (batch, ways, hidden), perm=[0, 2, 1, 3])
        dims = self.constant([0, 0, ways * hidden])
        return self.add("Reshape", [joined, dims], (batch, ways * hidden))

    def build(self, *outputs: str) -> ModelProto:
        """The finished graph; the shapes of its outputs are inferred."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(n, kind, dims) for n, kind, dims in self._inputs],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
            self._initializers,
        )
        opset = helper.make_opsetid("", self._opset)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ace-sniper"
        )
        inferred = shape_inference.infer_shapes(model, data_prop=True)
        del model.graph.output[:]
        model.graph.output.extend(inferred.graph.output)
        return model

    def _initializer(self, array: np.ndarray) -> str:
        self._count += 1
        name = f"constant_{self._count}"
        self._initializers.append(numpy_helper.from_array(array, name))
        return name
