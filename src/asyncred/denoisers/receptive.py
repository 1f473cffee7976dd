"""The receptive field of an ONNX graph: how far D looks, read from its nodes.

Along the longest path from input to output each tensor keeps, per image axis, an affine bound: its
element q depends on input pixels a q + low ... a q + high. A convolution, say, maps the bound of
its input to that of its output; two branches that meet take the wider of both. At the output a is
1, and the halo is the largest of -low and high.

The graph is read twice, for images of two sizes, with all constants computed: what is not the same
in both depends on the size of the image, and has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import onnx
from onnx import helper

from asyncred.denoisers.folding import STANDARD, Folded, fold, inputs_of, sides_of
from asyncred.denoisers.receptive_node import (
    At,
    Seen,
    Span,
    UnboundedReceptiveFieldError,
    unbounded,
)
from asyncred.denoisers.receptive_rules import POINTWISE, RULES

__all__ = ["ReceptiveField", "UnboundedReceptiveFieldError", "receptive_field"]

SIZES = ((192, 384, 192), (384, 576, 384))
"""Of the images for which the graph is read, the third of volumes: usual strides divide them."""


@dataclass(frozen=True)
class ReceptiveField:
    """``halo``: pixels needed around a block; ``align``: the total stride of the network."""

    halo: int
    align: int


_SHAPES_ONLY = frozenset(["Shape", "Size"])
_CONTRIBUTED = frozenset(["FusedConv", "Gelu", "QuickGelu", "FastGelu", "BiasGelu"])
"""Of ONNX Runtime's own operators those whose bound is known."""


def receptive_field(model: onnx.ModelProto) -> ReceptiveField:
    """Halo and alignment of a network that maps [n, c, h, w], or [n, c, d, h, w], to the same.

    Raises UnboundedReceptiveFieldError, naming the node, where no bound is known.
    """
    d = len(sides_of(inputs_of(model.graph)[0])) - 2
    first, second = (_read(model, size[:d]) for size in SIZES)
    for name, (node, seen) in first.items():
        if name in second and second[name][1] != seen:
            raise unbounded(node, "does not work alike on images of every size")
    outputs = [value.name for value in model.graph.output]
    if not first.keys() >= {*outputs}:
        raise UnboundedReceptiveFieldError("the output does not depend on the input")
    strides = [span.a for _, seen in first.values() for span in seen.spans]
    return _conclude([first[name][1] for name in outputs], strides)


def _conclude(outputs: Sequence[Seen], strides: Sequence[Fraction]) -> ReceptiveField:
    seen = [span for one in outputs for span in one.spans]
    if any(one.axes not in ((2, 3), (2, 3, 4)) for one in outputs):
        raise UnboundedReceptiveFieldError("the output does not lie as [n, c, h, w]")
    if any(span.a != 1 for span in seen):
        raise UnboundedReceptiveFieldError("the output has not the resolution of the input")
    halo = max(max(-span.low, span.high) for span in seen)
    align = math.lcm(*(a.numerator for a in strides))
    return ReceptiveField(max(0, math.ceil(halo)), align)


Reading = dict[str, tuple[onnx.NodeProto, Seen]]
"""Of each tensor that depends on the image the node that made it, and how it does."""


def _read(model: onnx.ModelProto, size: tuple[int, ...]) -> Reading:
    """What the tensors see of an image of this size."""
    image, *others = inputs_of(model.graph)
    shapes = {value.name: [side or 1 for side in _ones(value)] for value in others}
    channels = sides_of(image)[1]
    shapes[image.name] = [1, channels if isinstance(channels, int) else 1, *size]
    try:
        folded = fold(model, shapes)
    except ValueError as error:
        raise UnboundedReceptiveFieldError(
            f"on an image of {'x'.join(map(str, size))} pixels: {error}"
        ) from None
    one = Span(Fraction(1), Fraction(0), Fraction(0))
    source = onnx.NodeProto(op_type="input", name=image.name)
    found: Reading = {
        image.name: (source, Seen(tuple(range(2, 2 + len(size))), (one,) * len(size)))
    }
    for node in folded.graph.node:
        seen = {k: found[name][1] for k, name in enumerate(node.input) if name in found}
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            if seen or found.keys() & _captured(node):
                raise unbounded(node, "has branches or loops that depend on the image")
            continue
        if seen and node.op_type not in _SHAPES_ONLY:
            result = _through(node, folded, seen)
            result = _settled(node, folded, result, size)
            found.update((name, (node, result)) for name in node.output if name)
    return found


def _ones(value: onnx.ValueInfoProto) -> list[int]:
    return [side if isinstance(side, int) else 1 for side in sides_of(value)]


def _captured(node: onnx.NodeProto) -> set[str]:
    """The tensors that the subgraphs of a node use, of those inside and around them."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            for inner in graph.node:
                found |= {*inner.input} | _captured(inner)
            found |= {value.name for value in graph.output}
    return found


def _through(node: onnx.NodeProto, folded: Folded, seen: Mapping[int, Seen]) -> Seen:
    known = (
        node.op_type in _CONTRIBUTED
        if node.domain == "com.microsoft"
        else (node.domain in STANDARD)
    )
    if not known:
        raise unbounded(node, f"is of the domain {node.domain!r}, of which no bound is known")
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    at = At(node, attributes, folded, seen)
    widest = _widest(at)
    if node.op_type in POINTWISE:
        return widest
    rule = RULES.get(node.op_type)
    if rule is None:
        raise unbounded(node, "has no known bound")
    return rule(at, widest)


def _widest(at: At) -> Seen:
    """What all inputs that depend on the image see together."""
    first, *rest = at.seen.values()
    if any(one.axes != first.axes for one in rest):
        raise unbounded(at.node, "joins images that lie otherwise")
    spans = []
    for own in zip(*(one.spans for one in at.seen.values()), strict=True):
        if len({span.a for span in own}) > 1:
            raise unbounded(at.node, "joins branches of different resolution")
        low, high = min(span.low for span in own), max(span.high for span in own)
        spans.append(Span(own[0].a, low, high))
    return replace(first, spans=tuple(spans))


def _settled(node: onnx.NodeProto, folded: Folded, seen: Seen, size: Sequence[int]) -> Seen:
    """With the rows and columns that the tensor has more or less than a part of the image."""
    sides = folded.sides(node.output[0])
    if sides is None:
        return seen
    slack = tuple(
        sides[axis] - Fraction(side) / span.a
        for axis, span, side in zip(seen.axes, seen.spans, size, strict=True)
    )
    return replace(seen, slack=slack)
