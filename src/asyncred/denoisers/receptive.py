"""The receptive field of an ONNX graph: how far D looks, read from its nodes.

Along the longest path from input to output each tensor keeps, per spatial axis, an affine bound:
its element q depends on input pixels a q + low ... a q + high. A convolution, say, maps the bound
of its input to that of its output; two branches that meet take the wider of both. At the output
a is 1, and the halo is the larger of -low and high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import onnx
from onnx import helper, numpy_helper

from asyncred.denoisers.receptive_rules import (
    RULES,
    Span,
    Spans,
    UnboundedReceptiveFieldError,
    unbounded,
)

__all__ = ["ReceptiveField", "UnboundedReceptiveFieldError", "receptive_field"]


@dataclass(frozen=True)
class ReceptiveField:
    """``halo``: pixels needed around a block; ``align``: the total stride of the network."""

    halo: int
    align: int


# fmt: off
_POINTWISE = frozenset([
    "Abs", "Add", "And", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat",
    "Constant", "ConstantOfShape", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Expand",
    "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "Not",
    "Or", "PRelu", "Pow", "QuantizeLinear", "DequantizeLinear", "Reciprocal", "Relu", "Selu",
    "Sign", "Sigmoid", "Softplus", "Softsign", "Split", "Sqrt", "Sub", "Sum", "Swish", "Tanh",
    "ThresholdedRelu", "Where",
])
# fmt: on
_SHAPES_ONLY = frozenset(["Shape", "Size"])


def receptive_field(model: onnx.ModelProto) -> ReceptiveField:
    """Halo and alignment of a network that maps [n, 1, h, w] to the same shape.

    Raises UnboundedReceptiveFieldError, naming the node, where no bound is known.
    """
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    one = Span(Fraction(1), Fraction(0), Fraction(0))
    spans: dict[str, Spans] = {inputs[0]: (one, one)}
    strides = [Fraction(1)]
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]  # of a kernel the shape counts
        seen = [spans[name] for name in node.input if name in spans]
        if not seen or node.op_type in _SHAPES_ONLY:
            continue
        merged = _widest(node, seen)
        result = _through(node, attributes, constants, merged)
        strides += [span.a for span in result]
        spans.update((name, result) for name in node.output)
    return _conclude(graph, spans, strides)


def _conclude(
    graph: onnx.GraphProto, spans: dict[str, Spans], strides: list[Fraction]
) -> ReceptiveField:
    outputs = [value.name for value in graph.output]
    if not spans.keys() >= {*outputs}:
        raise UnboundedReceptiveFieldError("the output does not depend on the input")
    seen = [span for name in outputs for span in spans[name]]
    if any(span.a != 1 for span in seen):
        raise UnboundedReceptiveFieldError("the output has not the resolution of the input")
    halo = max(max(-span.low, span.high) for span in seen)
    align = math.lcm(*(a.numerator for a in strides))
    return ReceptiveField(max(0, math.ceil(halo)), align)


def _widest(node: onnx.NodeProto, seen: list[Spans]) -> Spans:
    axes = []
    for axis in (0, 1):
        spans = [pair[axis] for pair in seen]
        if len({span.a for span in spans}) > 1:
            raise unbounded(node, "joins branches of different resolution")
        low, high = min(s.low for s in spans), max(s.high for s in spans)
        axes.append(Span(spans[0].a, low, high))
    return axes[0], axes[1]


def _through(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    if node.op_type in _POINTWISE:
        if node.op_type in ("Concat", "Split") and attributes.get("axis", 0) not in (0, 1, -3, -4):
            raise unbounded(node, "works along an image axis")
        return spans
    rule = RULES.get(node.op_type)
    if rule is None:
        raise unbounded(node, "has no known bound")
    return rule(node, attributes, constants, spans)
