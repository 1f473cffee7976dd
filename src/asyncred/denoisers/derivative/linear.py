"""Linear maps between tensors, each with its adjoint, written as nodes of an ONNX graph.

Notation: a map L takes t to L t (``apply``) and g to L^T g (``adjoint``), so that
<L t, g> = <t, L^T g>. Shapes are fixed: ``before`` is that of t, ``after`` that of L t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Shape = tuple[int, ...]

OPSET = 17
IR_VERSION = 8


class Graph:
    """ONNX nodes, written one after another, float32 throughout; constants stand inside."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str | Array, **attributes: Any) -> str:
        """Write a node; the name of its output."""
        names = [item if isinstance(item, str) else self._constant(item) for item in inputs]
        output = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def reshape(self, t: str, shape: Sequence[int]) -> str:
        """Write a Reshape."""
        return self.add("Reshape", t, np.array(shape, np.int64))

    def total(self, terms: Sequence[str]) -> str:
        """Write the sum of some tensors of one shape."""
        return terms[0] if len(terms) == 1 else self.add("Sum", *terms)

    def model(self, source: str, before: Shape, output: str) -> bytes:
        """The graph from ``source`` to ``output``, serialized."""
        output = self.add("Identity", output)
        inputs = [helper.make_tensor_value_info(source, TensorProto.FLOAT, before)]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self._nodes, "linear", inputs, outputs, self._constants)
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _constant(self, value: Array) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


class LinearMap(Protocol):
    """L and L^T."""

    def apply(self, graph: Graph, t: str) -> str:
        """Write L t."""
        ...

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write L^T g."""
        ...


@dataclass(frozen=True)
class Adjoint:
    """L^T of a map L."""

    of: LinearMap

    def apply(self, graph: Graph, t: str) -> str:
        """Write L^T t."""
        return self.of.adjoint(graph, t)

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write L g."""
        return self.of.apply(graph, g)


@dataclass(frozen=True)
class Chain:
    """Maps one after another, the first one first; none is the identity."""

    maps: tuple[LinearMap, ...]

    def apply(self, graph: Graph, t: str) -> str:
        """Write the last of the first of t."""
        for link in self.maps:
            t = link.apply(graph, t)
        return t

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write the adjoints, the last one first."""
        for link in reversed(self.maps):
            g = link.adjoint(graph, g)
        return g


@dataclass(frozen=True)
class Scale:
    """c t, element by element; c broadcasts to the shape of t."""

    c: Array

    def apply(self, graph: Graph, t: str) -> str:
        """Write c t."""
        return graph.add("Mul", t, self.c.astype(np.float32))

    adjoint = apply


@dataclass(frozen=True)
class Broadcast:
    """Repeats t along the axes where ``before`` has 1 or nothing."""

    before: Shape
    after: Shape

    def apply(self, graph: Graph, t: str) -> str:
        """Write Expand."""
        return graph.add("Expand", t, np.array(self.after, np.int64))

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write the sum over the repeated axes."""
        lead = len(self.after) - len(self.before)
        repeated = [*range(lead)] + [
            lead + k for k, side in enumerate(self.before) if side != self.after[lead + k]
        ]
        if repeated:
            g = graph.add("ReduceSum", g, np.array(repeated, np.int64))
        return graph.reshape(g, self.before)


@dataclass(frozen=True)
class Reshape:
    """The same elements in another shape."""

    before: Shape
    after: Shape

    def apply(self, graph: Graph, t: str) -> str:
        """Write the new shape."""
        return graph.reshape(t, self.after)

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write the old shape."""
        return graph.reshape(g, self.before)


@dataclass(frozen=True)
class Place:
    """t between zeros along one axis, from element ``start`` on."""

    axis: int
    start: int
    before: Shape
    after: Shape

    def apply(self, graph: Graph, t: str) -> str:
        """Write Pad."""
        pads = np.zeros((2, len(self.after)), np.int64)
        side = self.before[self.axis]
        pads[:, self.axis] = self.start, self.after[self.axis] - self.start - side
        return graph.add("Pad", t, pads.ravel())

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write Slice."""
        first, last = [self.start], [self.start + self.before[self.axis]]
        parts = (np.array(part, np.int64) for part in (first, last, [self.axis]))
        return graph.add("Slice", g, *parts)


@dataclass(frozen=True)
class Gather:
    """Element q of the result is element ``index[q]`` of t, or 0 where that is negative."""

    index: NDArray[np.int64]
    before: Shape

    def apply(self, graph: Graph, t: str) -> str:
        """Write Gather."""
        flat = graph.add("Gather", graph.reshape(t, [-1]), np.maximum(self.index, 0).ravel())
        return graph.reshape(self._masked(graph, flat), self.index.shape)

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write ScatterElements, which adds what meets."""
        flat = self._masked(graph, graph.reshape(g, [-1]))
        zeros = np.zeros(math.prod(self.before), np.float32)
        where = np.maximum(self.index, 0).ravel()
        summed = graph.add("ScatterElements", zeros, where, flat, axis=0, reduction="add")
        return graph.reshape(summed, self.before)

    def _masked(self, graph: Graph, flat: str) -> str:
        mask = (self.index >= 0).ravel()
        return flat if mask.all() else Scale(mask).apply(graph, flat)


@dataclass(frozen=True)
class Separable:
    """A t B^T in every channel: one matrix for the rows, one for the columns."""

    A: Array
    B: Array

    def apply(self, graph: Graph, t: str) -> str:
        """Write A t B^T."""
        return _both_sides(graph, self.A, t, self.B.T)

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write A^T g B."""
        return _both_sides(graph, self.A.T, g, self.B)


def _both_sides(graph: Graph, left: Array, t: str, right: Array) -> str:
    inner = graph.add("MatMul", left.astype(np.float32), t)
    return graph.add("MatMul", inner, right.astype(np.float32))


@dataclass(frozen=True)
class Convolution:
    """Conv without bias: W [c_out, c_in / group, kh, kw] on images of ``before`` [h, w]."""

    W: Array
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    group: int
    before: tuple[int, int]
    after: tuple[int, int]

    def apply(self, graph: Graph, t: str) -> str:
        """Write Conv."""
        return self._write(graph, "Conv", t, self.W, self.pads, strides=self.stride)

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write ConvTranspose; with stride 1 a Conv, which is faster, with W turned round."""
        reach = self._reach()
        back = tuple(r - pad for r, pad in zip(reach * 2, self.pads, strict=True))
        if self.stride == (1, 1) and min(back) >= 0:
            return self._write(graph, "Conv", g, self._turned(), back)
        missing = [
            self.before[k]
            - (self.stride[k] * (self.after[k] - 1) + reach[k] + 1 - sum(self.pads[k::2]))
            for k in (0, 1)
        ]
        more = {"strides": self.stride, "output_padding": missing}
        return self._write(graph, "ConvTranspose", g, self.W, self.pads, **more)

    def _write(
        self, graph: Graph, kind: str, t: str, W: Array, pads: Sequence[int], **more: Any
    ) -> str:
        attributes = {"pads": pads, "dilations": self.dilation, "group": self.group, **more}
        return graph.add(kind, t, W.astype(np.float32), **attributes)

    def _reach(self) -> tuple[int, int]:
        kh, kw = self.W.shape[2:]
        return self.dilation[0] * (kh - 1), self.dilation[1] * (kw - 1)

    def _turned(self) -> Array:
        out, per_group, kh, kw = self.W.shape
        W = self.W.reshape(self.group, out // self.group, per_group, kh, kw)
        return W.swapaxes(1, 2).reshape(-1, out // self.group, kh, kw)[:, :, ::-1, ::-1]
