"""What a node of an ONNX graph does to the input pixels that its input depends on, by kind.

``receptive`` follows them through the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import onnx

ALL = 2**31 - 1
"""The end of a Slice that goes to the end of every image, or more."""


class UnboundedReceptiveFieldError(ValueError):
    """The graph has a node through which every pixel may depend on every other."""


@dataclass(frozen=True)
class Span:
    """Element q depends on the input pixels ``a q + low`` to ``a q + high`` of one axis."""

    a: Fraction
    low: Fraction
    high: Fraction

    def window(self, stride: int, first: int, last: int) -> Span:
        """Of an output that sees elements ``stride q + first`` to ``stride q + last``."""
        a = self.a
        return Span(a * stride, self.low + a * first, self.high + a * last)

    def finer(self, factor: Fraction, first: Fraction, last: Fraction) -> Span:
        """Of an output that sees elements ``q / factor + first`` to ``q / factor + last``."""
        a = self.a
        return Span(a / factor, self.low + a * first, self.high + a * last)


Spans = tuple[Span, Span]


def unbounded(node: onnx.NodeProto, why: str) -> UnboundedReceptiveFieldError:
    return UnboundedReceptiveFieldError(f"node {node.op_type} {node.name!r} {why}")


def _padding(node: onnx.NodeProto, attributes: dict[str, Any], reach: list[int]) -> list[int]:
    """Padding before the first element of each axis."""
    kind = attributes.get("auto_pad", b"NOTSET").decode()
    if kind == "NOTSET":
        return list(attributes.get("pads", [0] * 4)[:2])
    if kind == "VALID":
        return [0, 0]
    if attributes.get("strides", [1, 1]) != [1, 1]:
        raise unbounded(node, "has strides with auto_pad, whose padding depends on the image")
    return [r // 2 if kind == "SAME_UPPER" else (r + 1) // 2 for r in reach]


def _kernel(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any]
) -> Sequence[int]:
    """Height and width of a kernel."""
    if "kernel_shape" in attributes:
        kernel: Sequence[int] = attributes["kernel_shape"]
    elif len(node.input) > 1 and node.input[1] in constants:
        kernel = constants[node.input[1]].shape[2:]
    else:
        raise unbounded(node, "has a kernel of unknown shape")
    return kernel


def _conv(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    kernel = _kernel(node, attributes, constants)
    stride = attributes.get("strides", [1, 1])
    dilation = attributes.get("dilations", [1, 1])
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    pad = _padding(node, attributes, reach)
    rows, cols = (spans[k].window(stride[k], -pad[k], reach[k] - pad[k]) for k in (0, 1))
    return rows, cols


def _conv_transpose(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in attributes:
        raise unbounded(node, "has padding that depends on the image")
    kernel = _kernel(node, attributes, constants)
    stride = attributes.get("strides", [1, 1])
    dilation = attributes.get("dilations", [1, 1])
    pad = attributes.get("pads", [0] * 4)
    result = []
    for k in (0, 1):
        reach = dilation[k] * (kernel[k] - 1)
        f = Fraction(stride[k])
        result.append(spans[k].finer(f, Fraction(pad[k] - reach) / f, Fraction(pad[k]) / f))
    return result[0], result[1]


def _pad(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    pads = constants.get(node.input[1]) if len(node.input) > 1 else attributes.get("pads")
    if pads is None or len(pads) != 8:
        raise unbounded(node, "has padding that depends on the image")
    if attributes.get("mode", b"constant") == b"wrap":
        raise unbounded(node, "wraps around the image")
    rows, cols = (spans[k].window(1, -int(pads[2 + k]), -int(pads[2 + k])) for k in (0, 1))
    return rows, cols


def _resize(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    name = node.input[2] if len(node.input) > 2 else node.input[-1]
    scales = constants.get(name)
    if scales is None or len(scales) != 4:
        raise unbounded(node, "has a size that is no constant factor")
    if attributes.get("antialias", 0):
        raise unbounded(node, "is antialiased")
    if node.op_type == "Upsample" or len(node.input) == 2:  # opset 7 to 10
        attributes = {
            "coordinate_transformation_mode": b"asymmetric",
            "nearest_mode": b"floor",
            **attributes,
        }
    result = []
    for k in (0, 1):
        f = Fraction(float(scales[2 + k])).limit_denominator(1000)
        # Where element q looks, less q / f, repeats once q has gone through the numerator of f.
        seen = [
            tap - q / f for q in range(f.numerator) for tap in _resize_taps(node, attributes, f, q)
        ]
        result.append(spans[k].finer(f, min(seen), max(seen)))
    return result[0], result[1]


def _resize_taps(
    node: onnx.NodeProto, attributes: dict[str, Any], f: Fraction, q: int
) -> list[Fraction]:
    """The input elements that element q of a Resize by the factor f is made of."""
    at = attributes.get("coordinate_transformation_mode", b"half_pixel")
    if at not in (b"half_pixel", b"pytorch_half_pixel", b"asymmetric"):
        raise unbounded(node, "has coordinates that depend on the image")
    half = Fraction(0 if at == b"asymmetric" else 1, 2)
    x = (q + half) / f - half
    mode = attributes.get("mode", b"nearest")
    if mode == b"nearest":
        rounded = {
            b"round_prefer_floor": math.ceil(x - Fraction(1, 2)),
            b"round_prefer_ceil": math.floor(x + Fraction(1, 2)),
            b"floor": math.floor(x),
            b"ceil": math.ceil(x),
        }
        return [Fraction(rounded[attributes.get("nearest_mode", b"round_prefer_floor")])]
    reach = {b"linear": 0, b"cubic": 1}.get(mode)
    if reach is None:
        raise unbounded(node, "has an unknown mode")
    return [Fraction(math.floor(x) - reach), Fraction(math.ceil(x) + reach)]


def _depth_to_space(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    r = attributes["blocksize"]
    rows, cols = (s.finer(Fraction(r), Fraction(1 - r, r), Fraction(0)) for s in spans)
    return rows, cols


def _space_to_depth(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    r = attributes["blocksize"]
    rows, cols = (s.window(r, 0, r - 1) for s in spans)
    return rows, cols


def _over_channels(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    """A Reduce, pointwise as long as it leaves the image axes alone."""
    axes = attributes.get("axes")
    if axes is None and len(node.input) > 1:
        axes = constants.get(node.input[1])
    if axes is None or any(int(axis) not in (1, -3) for axis in axes):
        raise unbounded(node, "works along another axis than the channels")
    if not attributes.get("keepdims", 1):
        raise unbounded(node, "drops an axis")
    return spans


def _slice(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    """Any channels; of the image all but some rows and columns at its borders."""
    given = [attributes.get(key) for key in ("starts", "ends", "axes", "steps")]
    for k, name in enumerate(node.input[1:]):
        given[k] = constants.get(name)
    starts, ends, axes, steps = given
    if starts is None or ends is None or axes is None:
        raise unbounded(node, "works along another axis than the channels")
    result = list(spans)
    for k, axis in enumerate(int(axis) % 4 for axis in axes):
        if axis == 1:
            continue
        start, end, step = int(starts[k]), int(ends[k]), 1 if steps is None else int(steps[k])
        if axis == 0 or start < 0 or 0 <= end < ALL or step != 1:
            raise unbounded(node, "works along another axis than the channels")
        result[axis - 2] = result[axis - 2].window(1, start, start)
    return result[0], result[1]


def _gather(
    node: onnx.NodeProto, attributes: dict[str, Any], constants: dict[str, Any], spans: Spans
) -> Spans:
    if attributes.get("axis", 0) not in (1, -3):
        raise unbounded(node, "works along another axis than the channels")
    return spans


RULES: dict[str, Callable[[onnx.NodeProto, dict[str, Any], dict[str, Any], Spans], Spans]] = {
    "Conv": _conv,
    "FusedConv": _conv,
    "MaxPool": _conv,
    "AveragePool": _conv,
    "ConvTranspose": _conv_transpose,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Gather": _gather,
    "Slice": _slice,
    "ReduceL1": _over_channels,
    "ReduceL2": _over_channels,
    "ReduceMax": _over_channels,
    "ReduceMean": _over_channels,
    "ReduceMin": _over_channels,
    "ReduceSum": _over_channels,
    "ReduceSumSquare": _over_channels,
}
