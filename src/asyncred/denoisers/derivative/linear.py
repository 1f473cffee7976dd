"""Linear maps between tensors, each with its adjoint, written as nodes of an ONNX graph.

Notation: a map L takes t to L t (``apply``) and g to L^T g (``adjoint``), so that
<L t, g> = <t, L^T g>. ``before`` is the shape of t, ``after`` that of L t. ``Reshape``, ``Gather``
and ``Separable`` write them down and hold for images of one size; the others hold for all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.denoisers.derivative.graph import Array, Graph, Shape, Traced


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

    c: Array | Traced

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
        """Write Expand, which leaves an axis alone where it is told 1."""
        repeated = self._repeated()
        sides = [side if axis in repeated else 1 for axis, side in enumerate(self.after)]
        return graph.add("Expand", t, np.array(sides, np.int64))

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write the sum over the repeated axes."""
        lead = len(self.after) - len(self.before)
        if repeated := self._repeated():
            g = graph.add("ReduceSum", g, np.array(repeated, np.int64))
        return graph.add("Squeeze", g, np.arange(lead)) if lead else g

    def _repeated(self) -> list[int]:
        lead = len(self.after) - len(self.before)
        return [
            axis
            for axis, side in enumerate(self.after)
            if axis < lead or side != self.before[axis - lead]
        ]


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
class Frame:
    """t with zeros around it, so many before and after its elements of each axis.

    A negative number takes that many away.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]

    def apply(self, graph: Graph, t: str) -> str:
        """Write Slice for what is taken away, Pad for the zeros."""
        return _framed(graph, t, np.array([self.first, self.last]))

    def adjoint(self, graph: Graph, g: str) -> str:
        """The same the other way round."""
        return _framed(graph, g, -np.array([self.first, self.last]))


def _framed(graph: Graph, t: str, pads: NDArray[np.int64]) -> str:
    axes = np.flatnonzero((pads < 0).any(axis=0))
    if len(axes):
        starts, less = np.maximum(-pads[:, axes], 0)
        t = graph.add("Slice", t, starts, np.where(less > 0, -less, np.iinfo(np.int64).max), axes)
    return graph.add("Pad", t, np.maximum(pads, 0).ravel()) if (pads > 0).any() else t


@dataclass(frozen=True)
class Shuffle:
    """DepthToSpace of ``channels`` to images ``block`` times as high and wide.

    ``by_column`` where the channels of one pixel of the result lie side by side (ONNX's CRD).
    """

    block: int
    channels: int
    by_column: bool = False

    def apply(self, graph: Graph, t: str) -> str:
        """Write DepthToSpace."""
        mode = "CRD" if self.by_column else "DCR"
        return graph.add("DepthToSpace", t, blocksize=self.block, mode=mode)

    def adjoint(self, graph: Graph, g: str) -> str:
        """Write SpaceToDepth, and its channels in their right order."""
        g = graph.add("SpaceToDepth", g, blocksize=self.block)
        if not self.by_column:
            return g
        order = np.arange(self.channels).reshape(self.block**2, -1).T.ravel()
        return graph.add("Gather", g, order, axis=1)


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
