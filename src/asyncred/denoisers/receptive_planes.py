"""What operators that shift, stretch or blur an image do to the pixels that it depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import onnx

from asyncred.denoisers.receptive_node import At, Seen, Span, only_first, unbounded


def _as_planes(at: At, seen: Seen) -> None:
    """Raise where the image does not lie as [n, c, h, w]."""
    if seen.axes != tuple(range(2, 2 + len(seen.axes))):
        raise unbounded(at.node, "works on an image that does not lie as [n, c, h, w]")


def _kernel(at: At, weights: int = 1) -> Sequence[int]:
    """The sides of a kernel."""
    if "kernel_shape" in at.attributes:
        kernel: Sequence[int] = at.attributes["kernel_shape"]
        return kernel
    sides = at.folded.sides(at.node.input[weights]) if len(at.node.input) > weights else None
    if sides is None:
        raise unbounded(at.node, "has a kernel of unknown shape")
    return sides[2:]


def _padding(at: At, reach: list[int]) -> list[int]:
    """Padding before the first element of each axis."""
    kind, d = at.get("auto_pad", b"NOTSET").decode(), len(reach)
    if kind == "NOTSET":
        return list(at.get("pads", [0] * (2 * d))[:d])
    if kind == "VALID":
        return [0] * d
    if any(stride != 1 for stride in at.get("strides", [1] * d)):
        raise unbounded(at.node, "has strides with auto_pad, whose padding depends on the image")
    return [r // 2 if kind == "SAME_UPPER" else (r + 1) // 2 for r in reach]


def conv_of(weights: int) -> Callable[[At, Seen], Seen]:
    """Of an operator whose kernel is that input."""

    def rule(at: At, seen: Seen) -> Seen:
        only_first(at)
        _as_planes(at, seen)
        kernel = _kernel(at, weights)
        d = len(kernel)
        stride, dilation = at.get("strides", [1] * d), at.get("dilations", [1] * d)
        reach = [step * (side - 1) for step, side in zip(dilation, kernel, strict=True)]
        pad = _padding(at, reach)
        spans = (
            span.window(stride[k], -pad[k], reach[k] - pad[k]) for k, span in enumerate(seen.spans)
        )
        return replace(seen, spans=tuple(spans))

    return rule


def conv_transpose(at: At, seen: Seen) -> Seen:
    only_first(at)
    _as_planes(at, seen)
    if at.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in at.attributes:
        raise unbounded(at.node, "has padding that depends on the image")
    kernel = _kernel(at)
    d = len(kernel)
    stride, dilation = at.get("strides", [1] * d), at.get("dilations", [1] * d)
    pad, spans = at.get("pads", [0] * (2 * d)), []
    for k, span in enumerate(seen.spans):
        reach, f = dilation[k] * (kernel[k] - 1), Fraction(stride[k])
        spans.append(span.finer(f, Fraction(pad[k] - reach) / f, Fraction(pad[k]) / f))
    return replace(seen, spans=tuple(spans))


def pad(at: At, seen: Seen) -> Seen:
    only_first(at)
    pads, rank = at.given(1, "pads"), len(at.before())
    axes = at.given(3)
    if pads is None or (axes is None and len(pads) != 2 * rank):
        raise unbounded(at.node, "has padding that depends on the image")
    if at.get("mode", b"constant") == b"wrap":
        raise unbounded(at.node, "wraps around the image")
    places = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    before = {axis: int(pads[k]) for k, axis in enumerate(places)}
    shifts = [-before.get(axis, 0) for axis in seen.axes]
    spans = (span.window(1, by, by) for span, by in zip(seen.spans, shifts, strict=True))
    return replace(seen, spans=tuple(spans))


def resize(at: At, seen: Seen) -> Seen:
    only_first(at)
    if at.get("antialias", 0):
        raise unbounded(at.node, "is antialiased")
    attributes = at.attributes
    if at.node.op_type == "Upsample" or len(at.node.input) == 2:  # opset 7 to 10
        attributes = {
            "coordinate_transformation_mode": b"asymmetric",
            "nearest_mode": b"floor",
            **attributes,
        }
    before, after, spans = at.before(), at.after(), []
    for axis, span in zip(seen.axes, seen.spans, strict=True):
        f = Fraction(after[axis], before[axis])
        if f.denominator > 64 or f.numerator > 64:
            raise unbounded(at.node, "has a size that is no constant factor")
        if f == 1:
            spans.append(span)
            continue
        # Where element q looks, less q / f, repeats once q has gone through the numerator of f.
        taps = [
            tap - q / f
            for q in range(f.numerator)
            for tap in _resize_taps(at.node, attributes, f, q)
        ]
        spans.append(span.finer(f, min(taps), max(taps)))
    return replace(seen, spans=tuple(spans))


def _resize_taps(
    node: onnx.NodeProto, attributes: Mapping[str, Any], f: Fraction, q: int
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


def depth_to_space(at: At, seen: Seen) -> Seen:
    _as_planes(at, seen)
    r = at.attributes["blocksize"]
    return replace(seen, spans=tuple(joined(span, r) for span in seen.spans))


def joined(span: Span, r: int) -> Span:
    """Of an axis each of whose elements becomes r of them, one after another."""
    return span.finer(Fraction(r), Fraction(1 - r, r), Fraction(0))


def space_to_depth(at: At, seen: Seen) -> Seen:
    _as_planes(at, seen)
    r = at.attributes["blocksize"]
    return replace(seen, spans=tuple(span.window(r, 0, r - 1) for span in seen.spans))
