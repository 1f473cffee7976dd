"""The derivative of each operator of ONNX: from a node at a point and one of its inputs, a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncred.denoisers.derivative.graph import Shape, Traced
from asyncred.denoisers.derivative.linear import (
    Adjoint,
    Broadcast,
    Chain,
    Convolution,
    Frame,
    Gather,
    LinearMap,
    Reshape,
    Scale,
    Separable,
    Shuffle,
)
from asyncred.denoisers.derivative.node import Node
from asyncred.denoisers.derivative.slopes import OF_SEVERAL, SLOPES

Array = NDArray[Any]

DIGITS = 4096
"""Elements are numbered in two digits of this base, exact in float32."""

# fmt: off
_REARRANGING = frozenset([
    "Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze",
])
# fmt: on
"""Each element of y is one of x, or a constant."""


def _elementwise(node: Node, k: int) -> LinearMap:
    if k > 0 and node.proto.op_type not in OF_SEVERAL:
        raise node.error("has a parameter that varies")
    with np.errstate(all="ignore"):
        c = SLOPES[node.proto.op_type](node, k)
    before, after = node.value(k).shape, node.y.shape
    maps: list[LinearMap] = [] if before == after else [Broadcast(before, after)]
    if isinstance(c, Traced):
        return Chain((*maps, Scale(c)))
    c = np.asarray(c, np.float32)
    if not np.isfinite(c).all():
        raise node.error("has no finite derivative here")
    if (c != 1).any():
        maps.append(Scale(np.broadcast_to(c, after) if c.ndim > len(after) else c))
    return Chain(tuple(maps))


def _rearrangement(node: Node, k: int) -> LinearMap:
    """Found by sending the numbers of the elements of x through the node, digit by digit."""
    x = node.value(0)
    if k > 0:
        raise node.error("goes where the image says")
    constant = node.run(np.zeros(x.shape))[node.j]
    number = np.arange(x.size).reshape(x.shape)
    parts = [np.ones(x.shape), number % DIGITS, number // DIGITS]
    copied, low, high = (np.rint(node.run(part)[node.j] - constant) for part in parts)
    index = np.where(copied > 0, high.astype(np.int64) * DIGITS + low.astype(np.int64), -1)
    if np.array_equal(index.ravel(), number.ravel()):
        return Reshape(x.shape, index.shape)
    return Gather(index, x.shape)


def _expand(node: Node, k: int) -> LinearMap:
    if k > 0:
        raise node.error("goes where the image says")
    return Broadcast(node.value(0).shape, node.y.shape)


def _pad(node: Node, k: int) -> LinearMap:
    pads = node.get("pads", node.given(1))
    constant = node.get("mode", b"constant") == b"constant"
    if k > 0 or not constant or isinstance(pads, Traced) or len(pads) != 2 * node.y.ndim:
        return _rearrangement(node, k)
    sides = [int(side) for side in pads]
    return Frame(tuple(sides[: node.y.ndim]), tuple(sides[node.y.ndim :]))


def _split(node: Node, k: int) -> LinearMap:
    x, axis = node.value(0), node.get("axis", 0) % node.y.ndim
    sizes, parts = node.get("split", node.given(1)), len(node.proto.output)
    if isinstance(sizes, Traced):
        raise node.error("has parts whose sizes vary")
    if sizes is None:
        sizes = [-(-x.shape[axis] // parts)] * parts
    before = int(sum(sizes[: node.j]))
    return Adjoint(_place(axis, before, node.y.shape, x.shape))


def _shuffle(node: Node, k: int) -> LinearMap:
    block, by_column = node.get("blocksize", 1), node.get("mode", b"DCR") == b"CRD"
    if node.proto.op_type == "DepthToSpace":
        return Shuffle(block, node.value(0).shape[1], by_column)
    return Adjoint(Shuffle(block, node.y.shape[1]))


def _max_pool(node: Node, k: int) -> LinearMap:
    x = node.value(0)
    indices = node.run(x)[1].astype(np.int64)
    if node.get("storage_order", 0) or indices.shape != node.y.shape:
        raise node.error("numbers its elements by columns")
    return Gather(indices, x.shape)


def _separable(node: Node, k: int) -> LinearMap:
    """Found from images e_i 1^T and 1 e_j^T, as many at once as there are channels."""
    x = node.value(0)
    mode = node.get("coordinate_transformation_mode", b"")
    if k > 0 or x.ndim != 4 or mode == b"tf_crop_and_resize":
        raise node.error("has no derivative rule in this form")
    c, h, w = x.shape[1:]
    total = node.run(np.ones(x.shape))[0][0, 0]
    i, j = np.unravel_index(np.abs(total).argmax(), total.shape)
    rows, columns = [], []
    for first in range(0, max(h, w), c):
        t = np.zeros((2, *x.shape))
        for q in range(c):
            t[0, :, q, first + q : first + q + 1] = 1
            t[1, :, q, :, first + q : first + q + 1] = 1
        rows.append(node.run(t[0])[0][0, :, :, j])
        columns.append(node.run(t[1])[0][0, :, i])
    return Separable(np.concatenate(rows)[:h].T, np.concatenate(columns)[:w].T / total[i, j])


def _sum(node: Node, k: int) -> LinearMap:
    """Of ReduceSum, ReduceSumSquare, ReduceMean, GlobalAveragePool: a sum over axes, scaled."""
    x, given = node.value(0), node.given(1)
    axes = node.get("axes", None) if given is None else given.tolist()
    if node.proto.op_type == "GlobalAveragePool":
        axes = range(2, x.ndim)
    if not axes:
        axes = [] if node.get("noop_with_empty_axes", 0) else range(x.ndim)
    summed = {axis % x.ndim for axis in axes}
    kept = tuple(1 if axis in summed else side for axis, side in enumerate(x.shape))
    maps: list[LinearMap] = [Adjoint(Broadcast(kept, x.shape))]
    if kept != node.y.shape:
        maps.append(Reshape(kept, node.y.shape))
    if node.proto.op_type == "ReduceSumSquare":
        maps.insert(0, Scale(2 * x))
    elif node.proto.op_type != "ReduceSum":
        maps.append(Scale(np.array(node.y.size / x.size)))
    return Chain(tuple(maps))


def _concat(node: Node, k: int) -> LinearMap:
    axis = node.get("axis", 1) % node.y.ndim
    start = sum(node.value(before).shape[axis] for before in range(k))
    return _place(axis, start, node.value(k).shape, node.y.shape)


def _place(axis: int, start: int, before: Shape, after: Shape) -> Frame:
    """A tensor between zeros along one axis, from element ``start`` on."""
    first, last = [0] * len(after), [0] * len(after)
    first[axis], last[axis] = start, after[axis] - start - before[axis]
    return Frame(tuple(first), tuple(last))


def _conv(node: Node, k: int) -> LinearMap:
    return _convolution(node, k, node.value(0), node.y)


def _conv_transpose(node: Node, k: int) -> LinearMap:
    stride = node.get("strides", [1, 1])
    if (
        node.get("auto_pad", b"NOTSET") != b"NOTSET"
        or "output_shape" in node.attributes
        or any(p >= s for p, s in zip(node.get("output_padding", [0, 0]), stride, strict=True))
    ):
        raise node.error("has no derivative rule with this padding")
    return Adjoint(_convolution(node, k, node.y, node.value(0)))


def _convolution(node: Node, k: int, x: Array, y: Array) -> Convolution:
    """The convolution from x to y. Pads that are not given are those that fit the shapes."""
    W = node.value(1)
    if k > 0 or W.ndim != 4:
        raise node.error("has a kernel that varies, or not two axes")
    stride, dilation = tuple(node.get("strides", [1, 1])), tuple(node.get("dilations", [1, 1]))
    auto = node.get("auto_pad", b"NOTSET")
    pads = tuple(node.get("pads", [0] * 4)) if auto == b"NOTSET" else (0,) * 4
    if auto in (b"SAME_UPPER", b"SAME_LOWER"):
        reach = [d * (side - 1) for d, side in zip(dilation, W.shape[2:], strict=True)]
        total = [
            max(0, (y.shape[2 + a] - 1) * stride[a] + reach[a] + 1 - x.shape[2 + a]) for a in (0, 1)
        ]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = (*less, *more) if auto == b"SAME_UPPER" else (*more, *less)
    spatial = x.shape[2:], y.shape[2:]
    return Convolution(W, stride, pads, dilation, node.get("group", 1), *spatial)


RULES: dict[str, Callable[[Node, int], LinearMap]] = {
    **dict.fromkeys(SLOPES, _elementwise),
    **dict.fromkeys(_REARRANGING, _rearrangement),
    **dict.fromkeys(["AveragePool", "Resize", "Upsample"], _separable),
    **dict.fromkeys(["ReduceSum", "ReduceSumSquare", "ReduceMean", "GlobalAveragePool"], _sum),
    "Expand": _expand,
    "Pad": _pad,
    "Split": _split,
    **dict.fromkeys(["DepthToSpace", "SpaceToDepth"], _shuffle),
    "MaxPool": _max_pool,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
}
