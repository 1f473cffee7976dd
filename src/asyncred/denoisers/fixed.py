"""Networks that were exported for images of one size, written anew for images of every size.

Most of them have nothing of that size in them but the shape of their input. A Resize to so many
pixels becomes one by a factor, and a pixel unshuffle by Reshape and Transpose a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from asyncred.denoisers.folding import Folded, fold, inputs_of, sides_of

UNSHUFFLED = [0, 1, 3, 5, 2, 4]
"""The order of axes [n, c, h / r, r, w / r, r] from which a pixel unshuffle is put together."""


def freed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network without the sides of its input. Raises ValueError where it cannot be read."""
    shapes = {
        v.name: [d if isinstance(d, int) else 1 for d in sides_of(v)]
        for v in inputs_of(model.graph)
    }
    folded = fold(model, shapes)
    result = folded.model
    made = {name: node for node in result.graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []
    for node in result.graph.node:
        if node.op_type == "Resize":
            node = _by_factor(node, folded, stored)
        elif node.op_type == "Reshape":
            node = _unshuffle(node, folded, made, stored) or node
        nodes.append(node)
    del result.graph.node[:], result.graph.value_info[:]
    result.graph.node.extend(_needed(nodes, {value.name for value in result.graph.output}))
    result.graph.initializer.extend(stored)
    return result


def _by_factor(
    node: onnx.NodeProto, folded: Folded, stored: list[onnx.TensorProto]
) -> onnx.NodeProto:
    """A Resize by a factor, where it is one to a number of pixels."""
    if len(node.input) < 4 or folded.constant(node.input[3]) is None:
        return node
    before, after = folded.sides(node.input[0]), folded.sides(node.output[0])
    if before is None or after is None:
        return node
    result = onnx.NodeProto()
    result.CopyFrom(node)
    scales = np.array(after, np.float32) / np.array(before, np.float32)
    stored.append(numpy_helper.from_array(scales, f"{node.output[0]}.factors"))
    del result.input[2:]
    result.input.append(stored[-1].name)
    return result


def _unshuffle(
    node: onnx.NodeProto,
    folded: Folded,
    made: Mapping[str, onnx.NodeProto],
    stored: list[onnx.TensorProto],
) -> onnx.NodeProto | None:
    """The convolution that a pixel unshuffle is, if this is the last node of one."""
    turned = made.get(node.input[0])
    cut = made.get(turned.input[0]) if turned is not None else None
    if turned is None or cut is None or (turned.op_type, cut.op_type) != ("Transpose", "Reshape"):
        return None
    perm = [list(a.ints) for a in turned.attribute if a.name == "perm"]
    x, parts, y = (folded.sides(name) for name in (cut.input[0], cut.output[0], node.output[0]))
    if perm != [UNSHUFFLED] or x is None or parts is None or y is None or len(parts) != 6:
        return None
    c, r, s = x[1], parts[3], parts[5]
    if list(y) != [x[0], c * r * s, x[2] // r, x[3] // s] or list(parts[:2]) != list(x[:2]):
        return None
    kind = helper.tensor_dtype_to_np_dtype(inputs_of(folded.graph)[0].type.tensor_type.elem_type)
    kernel = np.tile(np.eye(r * s, dtype=kind).reshape(r * s, 1, r, s), (c, 1, 1, 1))
    stored.append(numpy_helper.from_array(kernel, f"{node.output[0]}.unshuffle"))
    return helper.make_node(
        "Conv", [cut.input[0], stored[-1].name], node.output, node.name, strides=[r, s], group=c
    )


def _needed(nodes: Sequence[onnx.NodeProto], targets: set[str]) -> list[onnx.NodeProto]:
    """Those that lead to some tensors."""
    wanted, found = {*targets}, []
    for node in reversed(nodes):
        if wanted & {*node.output}:
            wanted |= {*node.input}
            for attribute in node.attribute:
                for inner in attribute.g.node:
                    wanted |= {*inner.input}
            found.append(node)
    return found[::-1]
