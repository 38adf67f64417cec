"""Small ONNX files that would cost a reader much, for tests of what reads them."""

from itertools import pairwise

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper

from small_models import make_model

node = helper.make_node
value = helper.make_tensor_value_info


def functions(depth: int, calls: int, in_branch: bool = False) -> ModelProto:
    """Each function calls the next one several times, in a row or in the branch of an If."""
    own = helper.make_opsetid("own", 1)
    opsets = [helper.make_opsetid("", 17), own]
    model = make_model([node("F0", ["x"], ["y"], domain="own")], {"x": [4]})
    model.opset_import.append(own)
    for level in range(depth):
        last = level == depth - 1
        names = ["a", *(f"v{i}" for i in range(calls - 1)), "b"]
        op = "Relu" if last else f"F{level + 1}"
        domain = "" if last else "own"
        chain = [node(op, [x], [y], domain=domain) for x, y in pairwise(names)]
        if in_branch:
            body = helper.make_graph(chain, "g", [], [value("b", TensorProto.FLOAT, [4])])
            go = node("Constant", [], ["go"], value_int=1)
            flag = node("Cast", ["go"], ["flag"], to=TensorProto.BOOL)
            chain = [go, flag, node("If", ["flag"], ["r"], then_branch=body, else_branch=body)]
        result = "r" if in_branch else "b"
        model.functions.append(
            helper.make_function("own", f"F{level}", ["a"], [result], chain, opsets)
        )
    return model


def loops(depth: int, captured: bool) -> ModelProto:
    """Loops round a NonZero, whose body at each depth may read the counters of all outer ones."""

    def body(level: int) -> GraphProto:
        inputs = [
            value(f"i{level}", TensorProto.INT64, []),
            value(f"go{level}", TensorProto.BOOL, []),
            value(f"s{level}", TensorProto.FLOAT, ["n"]),
        ]
        outputs = [
            value(f"next{level}", TensorProto.BOOL, []),
            value(f"r{level}", TensorProto.FLOAT, None),
        ]
        nodes = [node("Identity", [f"go{level}"], [f"next{level}"])]
        if level == depth - 1:
            counters = [f"i{i}" for i in range(depth)] if captured else [f"i{level}"]
            nodes += [
                *(node("Unsqueeze", [name, "axes"], [f"{name}_"]) for name in counters),
                node("Concat", [f"{name}_" for name in counters], ["all"], axis=0),
                node("NonZero", [f"s{level}"], ["where"]),
                node("Cast", ["where"], ["cast"], to=TensorProto.FLOAT),
                node("ReduceSum", ["all"], ["sum"], keepdims=0),
                node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
                node("Add", ["cast", "float"], [f"r{level}"]),
            ]
        else:
            inner = body(level + 1)
            nodes.append(node("Loop", ["trips", "", f"s{level}"], [f"r{level}"], body=inner))
        return helper.make_graph(nodes, f"body{level}", inputs, outputs)

    loop = node("Loop", ["trips", "", "x"], ["y"], body=body(0))
    weights = {"trips": np.asarray(3, np.int64), "axes": np.asarray([0], np.int64)}
    return make_model([loop], {"x": [8]}, weights=weights)
